import { setTimeout as delay } from "node:timers/promises";

import { type EmbeddedPostgres, readSchemaState, startEmbeddedPostgres } from "@minimcp/db";

import { describeError } from "../failure.ts";
import { BackOff } from "./back-off.ts";
import { backUpData } from "./back-up-data.ts";

export interface EmbeddedDatabaseOptions {
  home: string;
  /** Where its socket goes when the home's path is too long for one. */
  runtimeDirectory: string | undefined;
  report: (line: string) => void;
  /** Gives up starting. */
  signal: AbortSignal;
}

/** The home's own PostgreSQL, started again when it ends by itself. Whoever uses it connects again by themselves. */
export class EmbeddedDatabase implements AsyncDisposable {
  readonly #options: EmbeddedDatabaseOptions;
  readonly #stopping = new AbortController();
  readonly #watching: Promise<void>;
  #server: EmbeddedPostgres | undefined;
  #restarts = 0;
  readonly ownerUrl: string;

  private constructor(options: EmbeddedDatabaseOptions, server: EmbeddedPostgres) {
    this.#options = options;
    this.#server = server;
    this.ownerUrl = server.ownerUrl();
    this.#watching = this.#watch(server);
  }

  /** Starts it, creates it first where there is none, and copies its data aside when migrations wait for it. */
  static async open(options: EmbeddedDatabaseOptions): Promise<EmbeddedDatabase> {
    const server = await launch(options, options.signal);
    try {
      const schema = await readSchemaState({ url: server.ownerUrl(), applicationName: "minimcp start" });
      const [next] = schema.pending;
      if (next === undefined || schema.current === null) return new EmbeddedDatabase(options, server);
      options.report(`copying the database aside before it is migrated from ${schema.current}`);
      await server.stop();
      options.report(`the copy is in ${await backUpData(server.dataDirectory, next)}`);
    } catch (error) {
      await server.stop();
      throw error;
    }
    return new EmbeddedDatabase(options, await launch(options, options.signal));
  }

  get state(): "ready" | "waiting" | "stopping" {
    if (this.#stopping.signal.aborted) return "stopping";
    return this.#server === undefined ? "waiting" : "ready";
  }

  get restarts(): number {
    return this.#restarts;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#options.report("stopping the database");
    this.#stopping.abort();
    await this.#server?.stop();
    await this.#watching;
    // It may have come up while we were told to stop.
    await this.#server?.stop();
  }

  async #watch(first: EmbeddedPostgres): Promise<void> {
    const { report } = this.#options;
    const { signal } = this.#stopping;
    const backOff = new BackOff();
    for (let server: EmbeddedPostgres | undefined = first; !signal.aborted;) {
      const startedAt = performance.now();
      const end = await server?.exited;
      if (signal.aborted) return;
      this.#server = undefined;
      const waitMs = backOff.nextMs(server === undefined ? 0 : performance.now() - startedAt);
      if (end !== undefined) {
        report(
          `the database ended unexpectedly (${end.signal ?? `exit code ${end.code}`}); starting it again in ${waitMs / 1000} s`,
        );
      }
      await delay(waitMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      this.#restarts += 1;
      try {
        server = await launch(this.#options, signal);
      } catch (error) {
        server = undefined;
        if (!signal.aborted) report(`the database does not start: ${describeError(error)}`);
      }
      this.#server = server;
    }
  }
}

function launch(options: EmbeddedDatabaseOptions, signal: AbortSignal): Promise<EmbeddedPostgres> {
  const { home, runtimeDirectory, report } = options;
  return startEmbeddedPostgres({ home, runtimeDirectory, signal, log: report });
}
