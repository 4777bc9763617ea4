import { readFileSync, statSync } from "node:fs";

import { z } from "zod";

// The forms of settings are in packages/core too, which this room does not know: it stands where any client does.

const address = z
  .url({ protocol: /^https?$/, error: "must be an http or https address" })
  .transform((text) => text.replace(/\/+$/, ""));

const keysForm = "must be 64 hexadecimal digits, or several as 2:<new>,1:<old>";

/** One key, or several under their numbers: the highest seals, all of them open. */
const sealingKeys = z
  .string(keysForm)
  .regex(/^(?:[0-9a-f]{64}|[1-9]\d{0,8}:[0-9a-f]{64}(?:,[1-9]\d{0,8}:[0-9a-f]{64})*)$/i, keysForm)
  .transform((text): Record<string, string> => {
    if (!text.includes(":")) return { 1: text };
    return Object.fromEntries(text.split(",").map((part) => part.split(":")));
  });

/** What the dashboard reads from its environment. */
export const dashboardSettings = {
  HOST: z.string().default("127.0.0.1"),
  DASHBOARD_PORT: z
    .string()
    .regex(/^\d{1,5}$/, "must be a whole number from 0 to 65535")
    .transform(Number)
    .pipe(z.int().max(65_535, "must be at most 65535"))
    .default(3000),
  PUBLIC_URL: address.default("http://127.0.0.1:5000"),
  DASHBOARD_URL: address.optional(),
  TLS_CERT_FILE: z.string().optional(),
  TLS_KEY_FILE: z.string().optional(),
  TRUSTED_PROXIES: z
    .string()
    .default("")
    .transform((text) =>
      text
        .split(",")
        .map((entry) => entry.trim())
        .filter((entry) => entry !== ""),
    ),
  SESSION_SECRET: sealingKeys.meta({ secret: true }),
  HOP_SECRET: z
    .string()
    .regex(/^[0-9a-f]{64}$/i, "must be 64 hexadecimal digits")
    .optional()
    .meta({ secret: true }),
};

const Settings = z.object(dashboardSettings);

export type DashboardSettings = z.infer<typeof Settings>;
type Environment = Record<string, string | undefined>;

/** A configuration that no process can run with, as opposed to a failure. */
export class WrongConfiguration extends Error {}

/** @throws WrongConfiguration that names every setting that is wrong, and no value */
export function readDashboardSettings(environment: Environment): DashboardSettings {
  const problems: string[] = [];
  const texts: Environment = {};
  for (const name of Object.keys(dashboardSettings)) {
    try {
      texts[name] = readSetting(environment, name);
    } catch (error) {
      problems.push(`${name} ${error instanceof Error ? error.message : "cannot be read"}`);
    }
  }
  const parsed = Settings.safeParse(texts);
  for (const { path, message } of parsed.error?.issues ?? []) problems.push(`${path.join(".")} ${message}`);
  if (
    parsed.success &&
    (parsed.data.TLS_CERT_FILE === undefined) !== (parsed.data.TLS_KEY_FILE === undefined)
  ) {
    problems.push("TLS_CERT_FILE and TLS_KEY_FILE go together; give both or neither");
  }
  if (parsed.success && problems.length === 0) return parsed.data;
  throw new WrongConfiguration(`The configuration of the dashboard is wrong:\n  ${problems.join("\n  ")}`);
}

/** A setting by its name, or from the file that `<name>_FILE` names; empty is not set. @throws Error */
function readSetting(environment: Environment, name: string): string | undefined {
  const file = environment[`${name}_FILE`];
  if (!file) return environment[name] || undefined;
  if (environment[name]) throw new Error(`is given twice: also as ${name}_FILE`);
  if (name.endsWith("_SECRET") && (statSync(file).mode & 0o077) !== 0) {
    throw new Error(`is in a file that others may read: chmod 600 the file of ${name}_FILE`);
  }
  return readFileSync(file, "utf8").trim();
}

/** Reads the configuration and drops its secrets from the environment. @throws WrongConfiguration */
export function takeDashboardSettings(): DashboardSettings {
  const settings = readDashboardSettings(process.env);
  delete process.env["SESSION_SECRET"];
  delete process.env["HOP_SECRET"];
  return settings;
}

/** What pages and routes need of the settings. */
export interface DashboardConfig extends Pick<
  DashboardSettings,
  "PUBLIC_URL" | "SESSION_SECRET" | "HOP_SECRET"
> {
  /** The dashboard's address as browsers see it. */
  DASHBOARD_URL: string;
}

// Next bundles this module into several pieces, each with variables of its own, while the settings are read once: the
// file of a secret may be gone by the first request.
const shared: unique symbol = Symbol.for("@minimcp/dashboard configuration");
const place = globalThis as typeof globalThis & { [shared]?: DashboardConfig };

/** Settles what pages and routes of this process find. */
export function shareDashboardConfig(config: DashboardConfig): void {
  place[shared] = config;
}

/** @throws Error outside a dashboard that was started */
export function dashboardConfig(): DashboardConfig {
  const config = place[shared];
  if (config === undefined) throw new Error("the dashboard's configuration is used before it was read");
  return config;
}
