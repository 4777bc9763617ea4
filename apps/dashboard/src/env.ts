import { readFileSync, statSync } from "node:fs";

import { z } from "zod";

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

/** What the dashboard reads from its environment. Next itself reads `PORT` and `HOSTNAME`, where it listens. */
export const dashboardSettings = {
  PUBLIC_URL: address.default("http://127.0.0.1:5000"),
  DASHBOARD_URL: address
    .default("http://127.0.0.1:3000")
    .describe("The dashboard's address as browsers see it. Requests under another name are refused."),
  SESSION_SECRET: sealingKeys
    .meta({ secret: true })
    .describe(
      "Seals the dashboard's session cookie: 64 hexadecimal digits. To change it, give both as `2:<new>,1:<old>` until the old cookies are over.",
    ),
};

const Settings = z.object(dashboardSettings);

type DashboardConfig = z.infer<typeof Settings>;
type Environment = Record<string, string | undefined>;

/** @throws Error that names every setting that is wrong, and no value */
function readConfig(environment: Environment): DashboardConfig {
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
  if (parsed.success && problems.length === 0) return parsed.data;
  throw new Error(`The configuration of the dashboard is wrong:\n  ${problems.join("\n  ")}`);
}

/** A setting by its name, or from the file that `<name>_FILE` names; empty is not set. @throws Error */
function readSetting(environment: Environment, name: string): string | undefined {
  const file = environment[`${name}_FILE`];
  if (!file) return environment[name] || undefined;
  if (environment[name]) throw new Error(`is given twice: also as ${name}_FILE`);
  if (name === "SESSION_SECRET" && (statSync(file).mode & 0o077) !== 0) {
    throw new Error(`is in a file that others may read: chmod 600 the file of ${name}_FILE`);
  }
  return readFileSync(file, "utf8").trim();
}

let config: DashboardConfig | undefined;

/** This process's configuration. @throws Error that names every setting that is wrong, and no value */
export function dashboardConfig(): DashboardConfig {
  config ??= readConfig(process.env);
  return config;
}
