import { type ChildProcess, spawn } from "node:child_process";
import { open } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

import type { IsolationLevel } from "@minimcp/core";
import type { LogTrouble } from "@minimcp/core/service";

import { exitCode } from "../exit-code.ts";
import { describeError, Failure } from "../failure.ts";
import { BackOff } from "./back-off.ts";
import { openLogFile } from "./log-file.ts";

export type ProcessName = "api" | "worker" | "dashboard";

/** What a process says once it serves. */
export interface Ready {
  url: string;
  /** What a worker's probe of this host found. */
  isolation?: { level: IsolationLevel; parts: Record<string, boolean | string>; advice: string[] };
}

export type ProcessState =
  | { name: "starting"; pid: number | undefined }
  | { name: "ready"; pid: number | undefined }
  /** It ended unexpectedly and is started again in a moment. */
  | { name: "waiting" }
  | { name: "stopping"; pid: number | undefined }
  | { name: "ended" };

export interface SupervisedProcessOptions {
  name: ProcessName;
  /** The file that Node runs. */
  entry: string;
  logPath: string;
  /** Called for each start: the whole environment of the process, valid until `release`. */
  prepare(): Promise<{ environment: Record<string, string>; release: () => Promise<void> }>;
  /** One line for the person who started the product. */
  report: (line: string) => void;
}

interface Life {
  process: ChildProcess;
  ended: Promise<End>;
}

interface End {
  code: number | null;
  signal: NodeJS.Signals | null;
  wasReady: boolean;
  aliveMs: number;
  /** What it wrote besides its log: the sentence or stack it ended with. */
  complaint: string;
}

const readyTimeoutMs = 60_000;
const stopTimeoutMs = 15_000;
const maxComplaintBytes = 16 * 1024;

/**
 * One process of the product, kept running. It is started again when it ends by itself, except when it refuses its
 * configuration, or fails before it has ever served: starting again would not help then.
 *
 * The process ends when its IPC channel to us closes, so it cannot outlive us.
 */
export class SupervisedProcess implements AsyncDisposable {
  readonly #options: SupervisedProcessOptions;
  readonly #stopping = new AbortController();
  readonly #firstReady = Promise.withResolvers<Ready>();
  readonly #gaveUp = Promise.withResolvers<never>();
  #state: ProcessState = { name: "waiting" };
  #ready: Ready | undefined;
  #restarts = 0;
  #logTrouble: string | null = null;
  #life: Life | undefined;
  #loop: Promise<void> | undefined;

  constructor(options: SupervisedProcessOptions) {
    this.#options = options;
    // Whoever waits for them hears of it; nobody has to.
    this.#firstReady.promise.catch(() => undefined);
    this.#gaveUp.promise.catch(() => undefined);
  }

  get state(): ProcessState {
    return this.#state;
  }

  get restarts(): number {
    return this.#restarts;
  }

  /** Why its log cannot be written; null while it can. */
  get logTrouble(): string | null {
    return this.#logTrouble;
  }

  /** What it said when it last became ready. */
  get ready(): Ready | undefined {
    return this.#ready;
  }

  /** Rejects when starting it again would not help. */
  get gaveUp(): Promise<never> {
    return this.#gaveUp.promise;
  }

  /**
   * Starts it and keeps it running from then on.
   * @throws Failure with what the process said, when it ends before it serves
   */
  start(): Promise<Ready> {
    this.#loop ??= this.#keepRunning().catch((error: unknown) => this.#giveUp(error));
    return this.#firstReady.promise;
  }

  /** Ends it the hard way; for a person who does not want to wait any longer. */
  kill(): void {
    this.#life?.process.kill("SIGKILL");
  }

  /** Asks it to end, waits, and kills it when it does not. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    const { name, report } = this.#options;
    const life = this.#life;
    if (life !== undefined) {
      report(`stopping the ${name}`);
      this.#state = { name: "stopping", pid: life.process.pid };
      life.process.kill("SIGTERM");
      const overdue = setTimeout(() => this.kill(), stopTimeoutMs);
      await life.ended;
      clearTimeout(overdue);
    }
    await this.#loop;
    this.#state = { name: "ended" };
  }

  async #keepRunning(): Promise<void> {
    const { name, logPath, report } = this.#options;
    const backOff = new BackOff();
    while (!this.#stopping.signal.aborted) {
      const end = await this.#live().catch((error: unknown) => this.#describeFailedStart(error));
      if (this.#stopping.signal.aborted) return;
      const isRefusal = end.code === exitCode.configuration;
      if (isRefusal) {
        throw new Failure(
          end.complaint || `The ${name} refuses to run. Its log: ${logPath}`,
          exitCode.configuration,
        );
      }
      if (this.#ready === undefined) {
        const said = end.complaint.split("\n")[0] || describeEnd(end);
        throw new Failure(`The ${name} ended at its start: ${said}. Its log: ${logPath}`);
      }
      const waitMs = backOff.nextMs(end.wasReady ? end.aliveMs : 0);
      report(
        `the ${name} ended unexpectedly (${describeEnd(end)}); starting it again in ${waitMs / 1000} s. Its log: ${logPath}`,
      );
      this.#state = { name: "waiting" };
      this.#restarts += 1;
      await delay(waitMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
    }
  }

  /** One life of the process, from its spawn to its end. */
  async #live(): Promise<End> {
    const startedAt = performance.now();
    const { environment, release } = await this.#options.prepare();
    await using log = await openLogFile(this.#options.logPath);
    const { size: logStart } = await log.stat();
    const child = spawn(process.execPath, [this.#options.entry], {
      env: environment,
      // A file and no pipe: what it writes while it ends must not fail because we are gone already.
      stdio: ["ignore", log.fd, log.fd, "ipc"],
      // A session of its own: Ctrl-C reaches us alone, and we end the processes in order.
      detached: true,
    });
    let wasReady = false;
    this.#state = { name: "starting", pid: child.pid };
    const overdue = setTimeout(() => child.kill("SIGKILL"), readyTimeoutMs);
    this.#logTrouble = null;
    child.on("message", (message: ({ kind: "ready" } & Ready) | ({ kind: "log" } & LogTrouble)) => {
      if (message.kind === "log") return this.#noteLogTrouble(message);
      if (this.#stopping.signal.aborted) return;
      clearTimeout(overdue);
      wasReady = true;
      this.#ready = message;
      this.#state = { name: "ready", pid: child.pid };
      void release();
      this.#firstReady.resolve(message);
    });
    const ended = endOf(child).then(async (exit): Promise<End> => {
      clearTimeout(overdue);
      await release();
      // Whoever took the log away took only words.
      const complaint = await readComplaint(this.#options.logPath, logStart).catch(() => "");
      return { ...exit, wasReady, aliveMs: performance.now() - startedAt, complaint };
    });
    this.#life = { process: child, ended };
    // Asked to stop while we were preparing: nobody else would tell the process.
    if (this.#stopping.signal.aborted) child.kill("SIGTERM");
    try {
      return await ended;
    } finally {
      this.#life = undefined;
    }
  }

  #noteLogTrouble({ code, lostLines }: LogTrouble): void {
    const { name, logPath, report } = this.#options;
    const advice = code === "ENOSPC" ? "Make room on the disk of" : "See";
    this.#logTrouble = code;
    if (code === null) report(`the log of the ${name} is written again; ${lostLines} of its lines are lost`);
    else
      report(`the log of the ${name} cannot be written (${code}); it goes on without. ${advice} ${logPath}`);
  }

  /** One that has served is tried again: a disk that is full now will have room at some time. */
  #describeFailedStart(error: unknown): End {
    if (this.#ready === undefined) throw error;
    const complaint = describeError(error);
    this.#options.report(`the ${this.#options.name} cannot be started again: ${complaint}`);
    return { code: null, signal: null, wasReady: false, aliveMs: 0, complaint };
  }

  #giveUp(error: unknown): void {
    this.#state = { name: "ended" };
    this.#firstReady.reject(error);
    this.#gaveUp.reject(error);
  }
}

function endOf(child: ChildProcess): Promise<Pick<End, "code" | "signal">> {
  return new Promise((resolve, reject) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
    child.once("error", (error) =>
      reject(new Failure(`A process cannot be started: ${describeError(error)}.`)),
    );
  });
}

function describeEnd({ code, signal }: Pick<End, "code" | "signal">): string {
  if (signal === null && code === null) return "no process";
  return signal ?? `exit code ${code}`;
}

/** The lines since `start` that are no log entries, of a long log the last ones, without a stack below the first. */
async function readComplaint(logPath: string, start: number): Promise<string> {
  await using file = await open(logPath);
  const { size } = await file.stat();
  const position = Math.max(start, size - maxComplaintBytes);
  const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(maxComplaintBytes), position });
  return buffer
    .toString("utf8", 0, bytesRead)
    .split("\n")
    .filter((line) => !line.startsWith("{") && !/^ {4}at /.test(line))
    .join("\n")
    .trim();
}
