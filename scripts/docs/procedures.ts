import type { z } from "zod";

import type { Permission } from "../../packages/core/src/index.ts";
import type { AppRouter } from "../../packages/router/src/index.ts";

/** What tRPC keeps of each procedure, by path, at run time; its types nest, and name only what a caller sees. */
export interface ProcedureRecord {
  _def: {
    type: "query" | "mutation" | "subscription";
    meta: { permission: Permission };
    inputs: z.ZodType[];
  };
}

export function proceduresOf(router: AppRouter): [path: string, procedure: ProcedureRecord][] {
  return Object.entries(router._def.procedures as unknown as Record<string, ProcedureRecord>);
}
