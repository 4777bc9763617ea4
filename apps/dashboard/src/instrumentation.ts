import { dashboardConfig } from "./env.ts";

/** Next calls this once, before the first request: a wrong configuration ends the process here. */
export function register(): void {
  dashboardConfig();
}
