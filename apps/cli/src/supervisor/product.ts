import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { readDatabaseTls } from "@minimcp/core";
import { parseDatabaseUrl } from "@minimcp/db";

import { productSettings, type ServerConfig } from "../env.ts";
import { buildChildEnvironment, type SecretSource } from "./child-environment.ts";
import { addAdministrator, type ApiDatabase, isInhabited } from "./first-administrator.ts";
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

/** Database, API and worker of one home. Each is started again when it ends by itself. */
export class Product implements AsyncDisposable {
  readonly #config: ServerConfig;
  readonly #home: Home;
  readonly #report: (line: string) => void;
  readonly #api: SupervisedProcess;
  readonly #worker: SupervisedProcess;
  readonly #startedAt = performance.now();
  #database: ProductDatabase | undefined;
  #isStopping = false;

  constructor({ config, home, report }: ProductOptions) {
    this.#config = config;
    this.#home = home;
    this.#report = report;
    this.#api = this.#supervise("api");
    this.#worker = this.#supervise("worker");
  }

  /** Rejects when a process refuses to run and starting it again would not help. */
  get gaveUp(): Promise<never> {
    return Promise.race([this.#api.gaveUp, this.#worker.gaveUp]);
  }

  /**
   * Starts everything and returns when all of it serves.
   * @returns whether anybody has an account
   */
  async start(signal: AbortSignal): Promise<{ isInhabited: boolean }> {
    const { settings } = this.#config;
    const [home, report] = [this.#home, this.#report];
    this.#database = await openProductDatabase(settings, home, { report, signal });
    const { ownerUrl } = this.#database;
    const applied = await bringUpToDate(settings, home, ownerUrl, signal);
    if (applied.length > 0) report(`migrated the database to ${applied.at(-1)}`);
    const inhabited = await this.#welcomeAdministrator({
      url: await databaseUrlOf("api", settings, home, ownerUrl),
      tls: readDatabaseTls(settings),
    });

    const interrupted = once(signal, "abort").then(() => signal.throwIfAborted());
    signal.throwIfAborted();
    const gateway = this.#worker.start();
    // The API tells clients the gateway's address, so it must know the port.
    if (settings.GATEWAY_PORT === 0) await Promise.race([gateway, interrupted]);
    await Promise.race([Promise.all([gateway, this.#api.start()]), interrupted]);
    return { isInhabited: inhabited };
  }

  /** Ends the processes the hard way; the database is still stopped in order, or it would outlive us. */
  kill(): void {
    this.#worker.kill();
    this.#api.kill();
  }

  status(): ProductStatus {
    const { settings } = this.#config;
    const database = this.#database;
    const parts = { api: statusOf(this.#api), gateway: statusOf(this.#worker) };
    const databasePart = { state: database?.state ?? "starting", restarts: database?.restarts ?? 0 } as const;
    return {
      state: this.#isStopping ? "stopping" : summarize([parts.api, parts.gateway, databasePart]),
      pid: process.pid,
      home: this.#home.path,
      mode: settings.MINIMCP_MODE,
      uptimeSeconds: Math.floor((performance.now() - this.#startedAt) / 1_000),
      ...parts,
      database: {
        kind: settings.DATABASE_URL === undefined ? "embedded" : "external",
        ...databasePart,
        address: database === undefined ? null : addressOf(database.ownerUrl),
      },
      isolation: this.#worker.ready?.isolation ?? null,
    };
  }

  /** Stops the worker first, so that its last counts reach the database, and the database last. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true;
    await this.#worker[Symbol.asyncDispose]();
    await this.#api[Symbol.asyncDispose]();
    await this.#database?.[Symbol.asyncDispose]();
  }

  #supervise(name: ProcessName): SupervisedProcess {
    return new SupervisedProcess({
      name,
      entry: fileURLToPath(new URL(`../../../${name}/src/main.ts`, import.meta.url)),
      logPath: join(this.#home.logs, `${name}.log`),
      prepare: async () => {
        const { settings, environment } = this.#config;
        const fixed = { MINIMCP_HOME: this.#home.path, ...this.#ports() };
        const url = await databaseUrlOf(name, settings, this.#home, this.#database?.ownerUrl ?? "");
        const secrets: Record<string, SecretSource> =
          name === "api"
            ? { DATABASE_URL_API: { value: url }, MASTER_KEY: await this.#masterKey() }
            : { DATABASE_URL_WORKER: { value: url } };
        return await buildChildEnvironment(
          { fields: productSettings, given: environment, fixed, secrets },
          this.#home.handover,
        );
      },
      report: this.#report,
    });
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

  async #masterKey(): Promise<SecretSource> {
    const { MASTER_KEY: value, MASTER_KEY_FILE: file } = this.#config.environment;
    if (value) return { value };
    return {
      file: file || (await ensureSecret(this.#home, "master-key", () => randomBytes(32).toString("hex"))),
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

function statusOf({ state, restarts, ready }: SupervisedProcess): PartStatus {
  return {
    state: state.name,
    pid: "pid" in state ? (state.pid ?? null) : null,
    restarts,
    url: ready?.url ?? null,
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
