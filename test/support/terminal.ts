import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { stripVTControlCharacters } from "node:util";

import { vi } from "vitest";

export interface TerminalOptions {
  cwd: string;
  environment: Record<string, string>;
}

const disposeTimeoutMs = 30_000;

/** npm's spinner takes itself away: one character, then the cursor to the line's begin, then the line erased. */
const spinner = new RegExp(String.raw`.\u001b\[1G\u001b\[0K`, "gu");

/** A terminal in which one command was typed: script(1) gives it a real one, and the test sits in front. */
export class Terminal implements AsyncDisposable {
  readonly #script: ChildProcess;
  /** The command's exit code. */
  readonly ended: Promise<number | null>;
  #shown = "";

  constructor(command: string, { cwd, environment }: TerminalOptions) {
    this.#script = spawn("/usr/bin/script", ["-qefc", `stty cols 200; ${command}`, "/dev/null"], {
      cwd,
      env: environment,
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#script.stdout?.setEncoding("utf8").on("data", (chunk: string) => (this.#shown += chunk));
    this.ended = once(this.#script, "close").then(([code]) => code as number | null);
  }

  /** What it has shown so far, without colours and the like. */
  get text(): string {
    return stripVTControlCharacters(this.#shown.replaceAll(spinner, "")).replaceAll("\r\n", "\n");
  }

  /** @throws when it has not been shown in time */
  async waitFor(what: string | RegExp, timeoutMs: number): Promise<void> {
    await vi.waitFor(
      () => {
        const isShown = typeof what === "string" ? this.text.includes(what) : what.test(this.text);
        if (!isShown) throw new Error(`No ${what} in the terminal:\n${this.text}`);
      },
      { timeout: timeoutMs },
    );
  }

  /** Types a line and presses Enter. */
  type(text: string): void {
    this.#script.stdin?.write(`${text}\r`);
  }

  /** Presses Ctrl-C, and kills what is still there after half a minute. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#script.exitCode === null) this.#script.stdin?.write("\u0003");
    const overdue = setTimeout(() => this.#script.kill("SIGKILL"), disposeTimeoutMs);
    await this.ended;
    clearTimeout(overdue);
  }
}
