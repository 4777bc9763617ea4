import {
  checkDatabase,
  checkMode,
  type Environment,
  readConfig,
  type SettingFields,
  settings,
  type SettingValues,
} from "@minimcp/core";

/** What the API reads from its environment. */
export const apiSettings = {
  MINIMCP_MODE: settings.MINIMCP_MODE,
  HOST: settings.HOST,
  API_PORT: settings.API_PORT,
  GATEWAY_PORT: settings.GATEWAY_PORT,
  PUBLIC_URL: settings.PUBLIC_URL,
  GATEWAY_URL: settings.GATEWAY_URL,
  DATABASE_URL_API: settings.DATABASE_URL_API,
  DATABASE_CA_FILE: settings.DATABASE_CA_FILE,
  DATABASE_CERT_FILE: settings.DATABASE_CERT_FILE,
  DATABASE_KEY_FILE: settings.DATABASE_KEY_FILE,
  MASTER_KEY: settings.MASTER_KEY,
  HOP_SECRET: settings.HOP_SECRET,
  SIGN_UP_POLICY: settings.SIGN_UP_POLICY,
  INSTANCES_PER_USER: settings.INSTANCES_PER_USER,
  RENEWALS_PER_INSTANCE: settings.RENEWALS_PER_INSTANCE,
  RENEWED_LIFETIME_MINUTES: settings.RENEWED_LIFETIME_MINUTES,
  STREAMS_PER_USER: settings.STREAMS_PER_USER,
  TLS_CERT_FILE: settings.TLS_CERT_FILE,
  TLS_KEY_FILE: settings.TLS_KEY_FILE,
  TRUSTED_PROXIES: settings.TRUSTED_PROXIES,
  LOG_LEVEL: settings.LOG_LEVEL,
} satisfies SettingFields;

export type ApiConfig = SettingValues<typeof apiSettings>;

/** @throws ConfigError with every problem there is */
export function readApiConfig(environment: Environment): ApiConfig {
  return readConfig(apiSettings, environment, (values, complain) => {
    checkMode(values, complain);
    checkDatabase(values, { DATABASE_URL_API: values.DATABASE_URL_API }, complain);
  });
}

/** Reads this process's configuration and drops the secrets from its environment, so that nothing it starts has them. */
export function takeApiConfig(): ApiConfig {
  const config = readApiConfig(process.env);
  delete process.env["MASTER_KEY"];
  delete process.env["DATABASE_URL_API"];
  delete process.env["HOP_SECRET"];
  return config;
}
