import { mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";

import { type EmbeddedPostgres, startEmbeddedPostgres } from "@minimcp/db";

import type { DatabaseUrls } from "../../support/deployment.ts";
import { prepareDatabase } from "../../support/own-server.ts";

/** A PostgreSQL of a test's own, as the product starts it. */
export class KillableDatabase implements AsyncDisposable {
  readonly urls: DatabaseUrls;
  readonly #home: string;
  #server: EmbeddedPostgres;
  #isDead = false;

  private constructor(home: string, server: EmbeddedPostgres, urls: DatabaseUrls) {
    this.#home = home;
    this.#server = server;
    this.urls = urls;
  }

  static async start(): Promise<KillableDatabase> {
    await using resources = new AsyncDisposableStack();
    const home = await mkdtemp("/tmp/minimcp-chaos-");
    resources.defer(() => rm(home, { recursive: true, force: true }));
    const server = resources.use(await startServer(home));
    const database = new KillableDatabase(home, server, await prepareDatabase(server));
    resources.move();
    return database;
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  /** By SIGKILL, as the kernel ends it when memory is short. */
  async kill(): Promise<void> {
    this.#isDead = true;
    process.kill(await this.#postmaster(), "SIGKILL");
    await this.#server.exited;
  }

  /** At the same address, with what it had committed. */
  async restart(): Promise<void> {
    this.#server = await startServer(this.#home);
    this.#isDead = false;
  }

  /** The postmaster, and the processes that serve its connections at this moment. */
  async processes(): Promise<number[]> {
    const postmaster = await this.#postmaster();
    const children = await readFile(`/proc/${postmaster}/task/${postmaster}/children`, "utf8");
    return [postmaster, ...children.split(" ").filter(Boolean).map(Number)];
  }

  async #postmaster(): Promise<number> {
    const file = await readFile(join(this.#server.dataDirectory, "postmaster.pid"), "utf8");
    return Number(file.split("\n")[0]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop();
    await rm(this.#home, { recursive: true, force: true });
  }
}

async function startServer(home: string): Promise<EmbeddedPostgres> {
  return await startEmbeddedPostgres({ home, closedHomeRoot: join(home, "closed") });
}
