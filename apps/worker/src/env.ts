import { tmpdir } from "node:os";
import { join } from "node:path";

import {
  checkDatabase,
  checkMode,
  type Environment,
  readConfig,
  type SettingFields,
  settings,
  type SettingValues,
} from "@minimcp/core";

/** What a worker reads from its environment. */
export const workerSettings = {
  MINIMCP_MODE: settings.MINIMCP_MODE,
  MINIMCP_HOME: settings.MINIMCP_HOME,
  HOST: settings.HOST,
  GATEWAY_PORT: settings.GATEWAY_PORT,
  GATEWAY_URL: settings.GATEWAY_URL,
  ALLOWED_ORIGINS: settings.ALLOWED_ORIGINS,
  MASTER_KEY: settings.MASTER_KEY,
  DATABASE_URL_WORKER: settings.DATABASE_URL_WORKER,
  DATABASE_CA_FILE: settings.DATABASE_CA_FILE,
  DATABASE_CERT_FILE: settings.DATABASE_CERT_FILE,
  DATABASE_KEY_FILE: settings.DATABASE_KEY_FILE,
  TLS_CERT_FILE: settings.TLS_CERT_FILE,
  TLS_KEY_FILE: settings.TLS_KEY_FILE,
  TRUSTED_PROXIES: settings.TRUSTED_PROXIES,
  MINIMUM_ISOLATION: settings.MINIMUM_ISOLATION,
  INSTANCES_PER_NODE: settings.INSTANCES_PER_NODE,
  INSTANCE_UIDS: settings.INSTANCE_UIDS,
  WORKER_CONCURRENCY: settings.WORKER_CONCURRENCY,
  RUNTIME_DIRECTORY: settings.RUNTIME_DIRECTORY,
  SANDBOX_TOOL_PATH: settings.SANDBOX_TOOL_PATH,
  LOG_LEVEL: settings.LOG_LEVEL,
} satisfies SettingFields;

export type WorkerConfig = SettingValues<typeof workerSettings> & { runtimeDirectories: readonly string[] };

/** What a worker uses of its host. */
export type HostConfig = Pick<WorkerConfig, "runtimeDirectories" | "SANDBOX_TOOL_PATH" | "INSTANCE_UIDS">;

/**
 * Where sockets and staged programs can go, best first: a directory that the system empties at boot, else one of the
 * user's, else one below the temporary directory.
 */
function runtimeDirectories(chosen: string | undefined, environment: Environment): string[] {
  if (chosen !== undefined) return [chosen];
  const uid = process.getuid?.() ?? 0;
  const session = environment["XDG_RUNTIME_DIR"];
  return [
    ...(uid === 0 ? ["/run/minimcp"] : []),
    ...(session ? [join(session, "minimcp")] : []),
    join(tmpdir(), `minimcp-${uid}`),
  ];
}

/** @throws ConfigError with every problem there is */
export function readWorkerConfig(environment: Environment): WorkerConfig {
  const config = readConfig(workerSettings, environment, (values, complain) => {
    checkMode(values, complain);
    checkDatabase(values, { DATABASE_URL_WORKER: values.DATABASE_URL_WORKER }, complain);
  });
  return { ...config, runtimeDirectories: runtimeDirectories(config.RUNTIME_DIRECTORY, environment) };
}

/** What finding out the isolation of this host takes: no database, and no secret. */
export function readProbeConfig(): HostConfig {
  const { RUNTIME_DIRECTORY, SANDBOX_TOOL_PATH, INSTANCE_UIDS } = workerSettings;
  const config = readConfig({ RUNTIME_DIRECTORY, SANDBOX_TOOL_PATH, INSTANCE_UIDS }, process.env);
  return { ...config, runtimeDirectories: runtimeDirectories(config.RUNTIME_DIRECTORY, process.env) };
}

/** Reads this process's configuration and drops the secrets from its environment, so that nothing it starts has them. */
export function takeWorkerConfig(): WorkerConfig {
  const config = readWorkerConfig(process.env);
  delete process.env["MASTER_KEY"];
  delete process.env["DATABASE_URL_WORKER"];
  return config;
}
