import { styleText } from "node:util";

/** What a command answers goes to standard output; everything that is said about it, to standard error. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, process.stdout.isTTY ? 2 : undefined));
}

/** One of many objects, on a line of its own, so that a program can read them as they come. */
export function printJsonLine(value: unknown): void {
  print(JSON.stringify(value));
}

export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

type Style = Parameters<typeof styleText>[0];

/** Colours the text where standard output is a terminal and NO_COLOR is not set. */
export function paint(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

/** One line that is rewritten while something is waited for; nothing where nobody watches. */
export class ProgressLine implements Disposable {
  readonly #isShown = process.stderr.isTTY;
  readonly #startedAt = performance.now();
  #text = "";
  readonly #timer: NodeJS.Timeout | undefined;

  constructor(text: string) {
    this.#text = text;
    if (!this.#isShown) return;
    this.#draw();
    this.#timer = setInterval(() => this.#draw(), 1_000);
  }

  update(text: string): void {
    this.#text = text;
    this.#draw();
  }

  #draw(): void {
    if (!this.#isShown) return;
    const seconds = Math.floor((performance.now() - this.#startedAt) / 1_000);
    process.stderr.write(`\r\u001b[K${this.#text}${seconds > 0 ? ` ${seconds} s` : ""}`);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    if (this.#isShown) process.stderr.write("\r\u001b[K");
  }
}
