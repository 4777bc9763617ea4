import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

import type { ProductStatus } from "../../src/supervisor/product-status.ts";
import { until } from "./until.ts";

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

export interface Result {
  code: number | null;
  stdout: string;
  stderr: string;
}

export type ReadyLine = ProductStatus & { kind: "ready"; nextStep: string | null; setUpUrl: string | null };

export interface Started {
  process: ChildProcess;
  ready: ReadyLine;
  /** Everything it wrote so far. */
  stdout(): string;
  stderr(): string;
  /** Its exit code, once it has ended. */
  ended: Promise<number | null>;
}

interface RunOptions {
  stdin?: string;
  environment?: Record<string, string>;
}

/** A user on a machine of their own: a home directory, a MiniMCP home, and the real command. */
export class Machine implements AsyncDisposable {
  readonly directory: string;
  readonly home: string;
  readonly configHome: string;
  readonly #environment: Record<string, string>;

  private constructor(directory: string) {
    this.directory = directory;
    this.home = join(directory, "home");
    this.configHome = join(directory, "config");
    this.#environment = {
      PATH: "/usr/bin:/bin",
      HOME: directory,
      XDG_CONFIG_HOME: this.configHome,
      MINIMCP_HOME: this.home,
      API_PORT: "0",
      GATEWAY_PORT: "0",
      // Most tests are about the rest, and quicker without it.
      DASHBOARD: "off",
      RUNTIME_DIRECTORY: join(directory, "r"),
    };
  }

  static async create(): Promise<Machine> {
    // Sockets want short paths, and the database's own user must be able to pass.
    const directory = await mkdtemp("/tmp/mm-");
    await chmod(directory, 0o711);
    return new Machine(directory);
  }

  async run(args: readonly string[], options: RunOptions = {}): Promise<Result> {
    const child = this.spawn(args, options.environment);
    child.stdin?.end(options.stdin ?? "");
    const [stdout, stderr, code] = await Promise.all([read(child.stdout), read(child.stderr), endOf(child)]);
    return { code, stdout, stderr };
  }

  /** Runs a command that must succeed. @returns what it printed as JSON */
  async json<T = Record<string, unknown>>(args: readonly string[], options: RunOptions = {}): Promise<T> {
    const { code, stdout, stderr } = await this.run([...args, "--json"], options);
    if (code !== 0) throw new Error(`minimcp ${args.join(" ")} ended with ${code}: ${stderr}`);
    return JSON.parse(stdout);
  }

  /** Starts the product and returns when it says that it is ready. */
  async start(environment: Record<string, string> = {}, args: readonly string[] = []): Promise<Started> {
    const child = this.spawn(["start", "--json", ...args], environment);
    let stdout = "";
    let stderr = "";
    child.stdout?.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
    child.stderr?.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
    const ended = endOf(child);
    await until(
      "it is ready",
      () => {
        if (child.exitCode !== null) throw new Error(`minimcp start ended with ${child.exitCode}: ${stderr}`);
        return stdout.includes("\n");
      },
      60_000,
    );
    return { process: child, ready: JSON.parse(stdout), stdout: () => stdout, stderr: () => stderr, ended };
  }

  /** Everything that runs for this home: our processes by their environment, the database by where it works. */
  processes(): number[] {
    return readdirSync("/proc")
      .map(Number)
      .filter(
        (pid) =>
          pid > 0 &&
          (environmentOf(pid).includes(this.home) || workingDirectoryOf(pid).startsWith(this.home)),
      );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pid of this.processes()) terminate(pid);
    await until("nothing runs any more", () => this.processes().length === 0, 30_000);
    await rm(this.directory, { recursive: true, force: true });
  }

  /** The command, for a test that watches or signals it. */
  spawn(args: readonly string[], environment: Record<string, string> = {}): ChildProcess {
    return spawn(process.execPath, [main, ...args], {
      env: { ...this.#environment, ...environment },
      stdio: "pipe",
    });
  }
}

function terminate(pid: number): void {
  try {
    process.kill(pid, "SIGTERM");
  } catch {
    // It ended since it was listed.
  }
}

export function environmentOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8");
  } catch {
    return "";
  }
}

function workingDirectoryOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return "";
  }
}

function read(stream: ChildProcess["stdout"]): Promise<string> {
  return stream === null ? Promise.resolve("") : text(stream);
}

function endOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => child.once("close", (code) => resolve(code)));
}
