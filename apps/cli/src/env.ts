import { fileURLToPath } from "node:url";

import {
  checkDatabase,
  checkMode,
  type CrossCheck,
  type Environment,
  isSecret,
  NewPassword,
  readConfig,
  secret,
  type SettingFields,
  settings,
  type SettingValues,
} from "@minimcp/core";
import { z } from "zod";

/** optional() alone makes a new form, of which nothing is said and which is no secret. */
function notRequired<Field extends z.ZodType>(field: Field): z.ZodOptional<Field> {
  return field.optional().meta(field.meta() ?? {});
}

/** What the processes of the product read; those that `minimcp start` can make by itself need not be given to it. */
export const productSettings = {
  ...settings,
  DATABASE_URL_API: notRequired(settings.DATABASE_URL_API),
  DATABASE_URL_WORKER: notRequired(settings.DATABASE_URL_WORKER),
  MASTER_KEY: notRequired(settings.MASTER_KEY),
  SESSION_SECRET: notRequired(settings.SESSION_SECRET),
} satisfies SettingFields;

/** What `minimcp start` reads. */
export const cliSettings = {
  ...productSettings,
  MINIMCP_ADMIN_EMAIL: z
    .email("must be an e-mail address")
    .optional()
    .describe(
      "Address of the first administrator, whom `minimcp start` creates while nobody has an account.",
    ),
  MINIMCP_ADMIN_PASSWORD: NewPassword.optional()
    .meta(secret)
    .describe("The first administrator's password, at least 15 characters. Used once."),
} satisfies SettingFields;

/** What the dashboard is given: it knows no database and no master key. */
export const dashboardSettings = {
  HOST: settings.HOST,
  DASHBOARD_PORT: settings.DASHBOARD_PORT,
  DASHBOARD_URL: settings.DASHBOARD_URL,
  TLS_CERT_FILE: settings.TLS_CERT_FILE,
  TLS_KEY_FILE: settings.TLS_KEY_FILE,
  TRUSTED_PROXIES: settings.TRUSTED_PROXIES,
} satisfies SettingFields;

export type ServerSettings = SettingValues<typeof cliSettings>;

export interface ServerConfig {
  settings: ServerSettings;
  /** As they were given, for handing them on by name. */
  environment: Environment;
}

/** The home belongs to the clone, from whichever of its folders a command is typed. */
const defaultHome = fileURLToPath(new URL("../../../.minimcp", import.meta.url));

/**
 * Reads the configuration of the whole product.
 * @throws ConfigError with every problem there is
 */
export function readServerConfig(given: Environment = process.env): ServerConfig {
  const environment = { ...given };
  if (!environment["MINIMCP_HOME"] && !environment["MINIMCP_HOME_FILE"])
    environment["MINIMCP_HOME"] = defaultHome;
  return { settings: readConfig(cliSettings, environment, checkServer), environment };
}

/**
 * Reads the configuration and drops its secrets from the environment, so that nothing started later can have them.
 * @param chosen settings that were chosen on the command line, and come before the environment's
 */
export function takeServerConfig(chosen: Environment = {}): ServerConfig {
  const config = readServerConfig({ ...process.env, ...chosen });
  for (const [name, field] of Object.entries(cliSettings)) if (isSecret(field)) delete process.env[name];
  return config;
}

/** Where the home is, also while other settings are wrong: `stop` must work then. */
export function readHomePath(): string {
  const { MINIMCP_HOME } = settings;
  const given =
    process.env["MINIMCP_HOME"] || process.env["MINIMCP_HOME_FILE"]
      ? process.env
      : { MINIMCP_HOME: defaultHome };
  return readConfig({ MINIMCP_HOME }, given).MINIMCP_HOME;
}

const checkServer: CrossCheck<typeof cliSettings> = (values, complain) => {
  checkMode(values, complain);
  const { DATABASE_URL, DATABASE_URL_API, DATABASE_URL_WORKER } = values;
  checkDatabase(values, { DATABASE_URL, DATABASE_URL_API, DATABASE_URL_WORKER }, complain);
  if (DATABASE_URL === undefined && values.DATABASE_CA_FILE !== undefined) {
    complain("DATABASE_CA_FILE", "is given without DATABASE_URL; the embedded database is on a Unix socket");
  }
  if (values.MINIMCP_MODE === "production") {
    for (const name of ["MASTER_KEY", "DATABASE_URL", "DATABASE_URL_API", "DATABASE_URL_WORKER"] as const) {
      if (values[name] === undefined) complain(name, "is required in production: nothing is generated there");
    }
    if (values.DASHBOARD === "on") checkDashboard(values, complain);
  }
  for (const name of ["DATABASE_URL_API", "DATABASE_URL_WORKER"] as const) {
    if (values.DATABASE_URL === undefined && values[name] !== undefined && values.MINIMCP_MODE === "local") {
      complain(name, "is given without DATABASE_URL; without that, an embedded database is used");
    }
  }
  const names = portNames(values);
  for (const [index, name] of names.entries()) {
    const same = names.slice(0, index).find((other) => values[other] === values[name]);
    if (same !== undefined && values[name] !== undefined && values[name] !== 0) {
      complain(name, `is the same as ${same}; each needs a port of its own`);
    }
  }
  if ((values.MINIMCP_ADMIN_EMAIL === undefined) !== (values.MINIMCP_ADMIN_PASSWORD === undefined)) {
    complain("MINIMCP_ADMIN_EMAIL", "goes together with MINIMCP_ADMIN_PASSWORD; give both or neither");
  }
};

/** A browser keeps the session's cookie on an encrypted page only, and the address is what it must be asked under. */
const checkDashboard: CrossCheck<typeof cliSettings> = ({ SESSION_SECRET, DASHBOARD_URL }, complain) => {
  const remedy = "or start with --no-dashboard (DASHBOARD=off)";
  if (SESSION_SECRET === undefined)
    complain("SESSION_SECRET", `is required in production: give it, ${remedy}`);
  if (DASHBOARD_URL?.startsWith("https:") !== true) {
    complain("DASHBOARD_URL", `must be the dashboard's https address in production: give it, ${remedy}`);
  }
};

/** The settings that name the ports of what `minimcp start` runs. */
export function portNames({ DASHBOARD }: { DASHBOARD?: "on" | "off" }) {
  const names = ["API_PORT", "GATEWAY_PORT"] as const;
  return DASHBOARD === "off" ? names : ([...names, "DASHBOARD_PORT"] as const);
}
