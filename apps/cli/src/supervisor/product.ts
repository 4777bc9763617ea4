import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { readDatabaseTls } from "@minimcp/core";
import { parseDatabaseUrl } from "@minimcp/db";

import { dashboardSettings, productSettings, type ServerConfig } from "../env.ts";
import { buildChildEnvironment, type ChildSettings, type SecretSource } from "./child-environment.ts";
import { addAdministrator, type ApiDatabase, isInhabited, makeSetUpCode } from "./first-administrator.ts";
import { ensureSecret, type Home } from "./home.ts";
import {
  bringUpToDate,
  databaseUrlOf,
  openProductDatabase,
  type ProductDatabase,
} from "./product-database.ts";
import type { PartStatus, ProductStatus } from "./product-status.ts";
import { type ProcessName, SupervisedProcess } from "./supervised-process.ts";

interface ProductOptions {
  config: ServerConfig;
  home: Home;
  report: (line: string) => void;
}

/** What a newcomer needs to hear of a product that has started. */
export interface Welcome {
  isInhabited: boolean;
  /** A single-use link; null when somebody has an account, or there is no dashboard. */
  setUpUrl: string | null;
}

/** Database, API, worker and dashboard of one home. Each is started again when it ends by itself. */
export class Product implements AsyncDisposable {
  readonly #config: ServerConfig;
  readonly #home: Home;
  readonly #report: (line: string) => void;
  readonly #api: SupervisedProcess;
  readonly #worker: SupervisedProcess;
  /** Null where the configuration says that there is none. */
  readonly #dashboard: SupervisedProcess | null;
  /** Shared by API and dashboard. Nothing is sealed with it, so each life of the product has one of its own. */
  readonly #hopSecret: SecretSource = { value: randomBytes(32).toString("hex") };
  readonly #startedAt = performance.now();
  #database: ProductDatabase | undefined;
  #isStopping = false;

  constructor({ config, home, report }: ProductOptions) {
    this.#config = config;
    this.#home = home;
    this.#report = report;
    this.#api = this.#supervise("api");
    this.#worker = this.#supervise("worker");
    this.#dashboard = config.settings.DASHBOARD === "on" ? this.#supervise("dashboard") : null;
  }

  /** Rejects when a process refuses to run and starting it again would not help. */
  get gaveUp(): Promise<never> {
    return Promise.race(this.#processes.map((part) => part.gaveUp));
  }

  /**
   * Starts everything and returns when all of it serves.
   * @returns whether anybody has an account, and where the first administrator can make theirs with a browser
   */
  async start(signal: AbortSignal): Promise<Welcome> {
    const { settings } = this.#config;
    const [home, report] = [this.#home, this.#report];
    this.#database = await openProductDatabase(settings, home, { report, signal });
    const { ownerUrl } = this.#database;
    const applied = await bringUpToDate(settings, home, ownerUrl, signal);
    if (applied.length > 0) report(`migrated the database to ${applied.at(-1)}`);
    const database = {
      url: await databaseUrlOf("api", settings, home, ownerUrl),
      tls: readDatabaseTls(settings),
    };
    const inhabited = await this.#welcomeAdministrator(database);

    const interrupted = once(signal, "abort").then(() => signal.throwIfAborted());
    signal.throwIfAborted();
    const gateway = this.#worker.start();
    // The API tells clients the gateway's address, so it must know the port.
    if (settings.GATEWAY_PORT === 0) await Promise.race([gateway, interrupted]);
    const api = this.#api.start();
    // The dashboard calls the API, so it must know that port.
    if (settings.API_PORT === 0) await Promise.race([api, interrupted]);
    await Promise.race([Promise.all([gateway, api, this.#dashboard?.start()]), interrupted]);
    if (inhabited || !this.#dashboard?.ready) return { isInhabited: inhabited, setUpUrl: null };
    // A fragment is sent to no server, so the code gets into no log.
    const setUpUrl = `${this.#dashboard.ready.url}/set-up#${await makeSetUpCode(database)}`;
    return { isInhabited: false, setUpUrl };
  }

  /** Ends the processes the hard way; the database is still stopped in order, or it would outlive us. */
  kill(): void {
    for (const part of this.#processes) part.kill();
  }

  status(): ProductStatus {
    const { settings } = this.#config;
    const database = this.#database;
    const parts = { api: statusOf(this.#api), gateway: statusOf(this.#worker) };
    const dashboard = this.#dashboard && statusOf(this.#dashboard);
    const databasePart = { state: database?.state ?? "starting", restarts: database?.restarts ?? 0 } as const;
    return {
      state: this.#isStopping
        ? "stopping"
        : summarize([parts.api, parts.gateway, databasePart, ...(dashboard === null ? [] : [dashboard])]),
      pid: process.pid,
      home: this.#home.path,
      mode: settings.MINIMCP_MODE,
      uptimeSeconds: Math.floor((performance.now() - this.#startedAt) / 1_000),
      ...parts,
      dashboard,
      database: {
        kind: settings.DATABASE_URL === undefined ? "embedded" : "external",
        ...databasePart,
        address: database === undefined ? null : addressOf(database.ownerUrl),
      },
      isolation: this.#worker.ready?.isolation ?? null,
    };
  }

  /** Stops the dashboard, which calls the rest, then the worker, whose last counts reach the database, and that last. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true;
    await this.#dashboard?.[Symbol.asyncDispose]();
    await this.#worker[Symbol.asyncDispose]();
    await this.#api[Symbol.asyncDispose]();
    await this.#database?.[Symbol.asyncDispose]();
  }

  get #processes(): SupervisedProcess[] {
    return [this.#api, this.#worker, ...(this.#dashboard === null ? [] : [this.#dashboard])];
  }

  #supervise(name: ProcessName): SupervisedProcess {
    return new SupervisedProcess({
      name,
      entry: fileURLToPath(new URL(`../../../${name}/src/main.ts`, import.meta.url)),
      logPath: join(this.#home.logs, `${name}.log`),
      prepare: async () =>
        await buildChildEnvironment(
          {
            fields: name === "dashboard" ? dashboardSettings : productSettings,
            given: this.#config.environment,
            ...(await this.#prepare[name]()),
          },
          this.#home.handover,
        ),
      report: this.#report,
    });
  }

  /** What a process gets besides the settings as they were given. */
  readonly #prepare: Record<ProcessName, () => Promise<Pick<ChildSettings, "fixed" | "secrets">>> = {
    api: async () => ({
      fixed: { MINIMCP_HOME: this.#home.path, ...this.#ports() },
      secrets: {
        DATABASE_URL_API: { value: await this.#databaseUrl("api") },
        MASTER_KEY: await this.#keptSecret("MASTER_KEY", "master-key"),
        HOP_SECRET: this.#hopSecret,
      },
    }),
    worker: async () => ({
      fixed: { MINIMCP_HOME: this.#home.path, ...this.#ports() },
      secrets: {
        DATABASE_URL_WORKER: { value: await this.#databaseUrl("worker") },
        MASTER_KEY: await this.#keptSecret("MASTER_KEY", "master-key"),
      },
    }),
    dashboard: async () => ({
      fixed: {
        PUBLIC_URL: this.#api.ready?.url ?? this.#apiUrl(),
        ...this.#dashboardPort(),
        ...this.#moreAuthorities(),
      },
      secrets: {
        SESSION_SECRET: await this.#keptSecret("SESSION_SECRET", "session-secret"),
        HOP_SECRET: this.#hopSecret,
      },
    }),
  };

  #databaseUrl(role: "api" | "worker"): Promise<string> {
    return databaseUrlOf(role, this.#config.settings, this.#home, this.#database?.ownerUrl ?? "");
  }

  /** Where clients reach the API, also before it serves. */
  #apiUrl(): string {
    const { PUBLIC_URL, TLS_CERT_FILE, API_PORT } = this.#config.settings;
    return PUBLIC_URL ?? `${TLS_CERT_FILE === undefined ? "http" : "https"}://127.0.0.1:${API_PORT}`;
  }

  /** How an operator tells Node of an authority of their own, which may have signed for the proxy before the API. */
  #moreAuthorities(): Record<string, string> {
    const { NODE_EXTRA_CA_CERTS } = this.#config.environment;
    return NODE_EXTRA_CA_CERTS ? { NODE_EXTRA_CA_CERTS } : {};
  }

  #dashboardPort(): Record<string, string> {
    const { DASHBOARD_PORT, DASHBOARD_URL } = this.#config.settings;
    const ready = this.#dashboard?.ready;
    if (DASHBOARD_PORT !== 0 || DASHBOARD_URL !== undefined || ready === undefined) return {};
    return { DASHBOARD_PORT: new URL(ready.url).port };
  }

  /** Where the system chose a port, the process keeps it when it is started again. */
  #ports(): Record<string, string> {
    const { settings } = this.#config;
    const ports: Record<string, string> = {};
    const { ready: api } = this.#api;
    const { ready: worker } = this.#worker;
    if (settings.API_PORT === 0 && settings.PUBLIC_URL === undefined && api !== undefined) {
      ports["API_PORT"] = new URL(api.url).port;
    }
    if (settings.GATEWAY_PORT === 0 && settings.GATEWAY_URL === undefined && worker !== undefined) {
      ports["GATEWAY_PORT"] = new URL(worker.url).port;
    }
    return ports;
  }

  /** A secret as it was given, or else the one that this home keeps. */
  async #keptSecret(name: "MASTER_KEY" | "SESSION_SECRET", fileName: string): Promise<SecretSource> {
    const { [name]: value, [`${name}_FILE`]: file } = this.#config.environment;
    if (value) return { value };
    return {
      file: file || (await ensureSecret(this.#home, fileName, () => randomBytes(32).toString("hex"))),
    };
  }

  /** Creates the configured administrator while nobody has an account. @returns whether anybody has one then */
  async #welcomeAdministrator(database: ApiDatabase): Promise<boolean> {
    if (await isInhabited(database)) return true;
    const { MINIMCP_ADMIN_EMAIL: email, MINIMCP_ADMIN_PASSWORD: password } = this.#config.settings;
    if (email === undefined || password === undefined) return false;
    await addAdministrator(database, { email, password });
    this.#report(`created the administrator ${email}`);
    return true;
  }
}

function statusOf({ state, restarts, ready, logTrouble }: SupervisedProcess): PartStatus {
  return {
    state: state.name,
    pid: "pid" in state ? (state.pid ?? null) : null,
    restarts,
    url: ready?.url ?? null,
    logTrouble,
  };
}

function summarize(parts: readonly Pick<PartStatus, "state" | "restarts">[]): ProductStatus["state"] {
  if (parts.every(({ state }) => state === "ready")) return "ready";
  return parts.some(({ restarts }) => restarts > 0) ? "recovering" : "starting";
}

function addressOf(url: string): ProductStatus["database"]["address"] {
  const { host, port, database } = parseDatabaseUrl(url);
  return { host, port, database };
}
