import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";

import { splitLines } from "./split-lines.ts";

/** How a wrapped server is started: without a shell, in the directory of this process. */
export interface Launch {
  command: string;
  args: readonly string[];
  /** The server's whole environment. Default: that of this process. */
  env?: Readonly<Record<string, string>>;
}

const outputLineBytes = 16 * 1024;
/** How long the server may take to end after SIGTERM, before SIGKILL. */
const stopGraceMs = 300;
/** How long its output is still read after it ended. */
const lastWordsMs = 500;

/** The process of a wrapped server. Disposing of it asks the server to end, and kills it when it does not. */
export class ServerProcess implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;

  /** Fulfilled with how the server ended ("exited with code 1"), once all that it wrote has been read. */
  readonly exited: Promise<string>;

  /**
   * Starts the server. A command that cannot be started shows in `exited`, not as a throw.
   *
   * @param onStderrLine takes one line of its standard error; longer ones are broken at 16 KiB
   */
  constructor({ command, args, env }: Launch, onStderrLine: (line: string) => void) {
    this.#child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], ...(env && { env }) });
    this.exited = this.#watchExit();
    // Writing to a server that just died fails here; `exited` says what happened.
    this.#child.stdin.on("error", () => {});
    this.#child.stderr.on("data", readLines(onStderrLine));
  }

  get stdin(): Writable {
    return this.#child.stdin;
  }

  get stdout(): Readable {
    return this.#child.stdout;
  }

  /** Ends the server at once, whatever signals it ignores. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    this.#child.kill("SIGTERM");
    const timer = new AbortController();
    await Promise.race([
      this.exited,
      delay(stopGraceMs, undefined, { signal: timer.signal }).catch(() => {}),
    ]);
    timer.abort();
    this.kill();
    await this.exited;
  }

  async #watchExit(): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<string>();
    this.#child.once("error", (error) => resolve(`could not be started: ${error.message}`));
    this.#child.once("close", (code, signal) =>
      resolve(signal ? `was ended by ${signal}` : `exited with code ${code}`),
    );
    this.#child.once("exit", () => {
      // "close" waits for all who hold the pipes: a grandchild that lives on must not hide the death.
      setTimeout(() => {
        this.#child.stdout.destroy();
        this.#child.stderr.destroy();
      }, lastWordsMs).unref();
    });
    return await promise;
  }
}

/** The consumer of a stream of text, line by line; longer ones are broken at 16 KiB. */
export function readLines(onLine: (line: string) => void): (chunk: Buffer) => void {
  return splitLines(outputLineBytes, (piece) => onLine(piece.toString()));
}
