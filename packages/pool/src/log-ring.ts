import type { Readable } from "node:stream";

export interface LogLine {
  /** Milliseconds since the epoch at which the line was complete. */
  readonly at: number;
  readonly stream: "stdout" | "stderr";
  readonly text: string;
  /** Bytes that the child had written when the line was complete. No two lines have the same. */
  readonly position: number;
  /** How many of them were the line's own; what lies between it and the one before was dropped. */
  readonly bytes: number;
}

/** The last output of a child. It is drained always: a child that nobody listens to must not block on a full pipe. */
export interface LogRing {
  /**
   * The lines still kept, oldest first.
   * @param after only those behind this position
   */
  lines(after?: number): readonly LogLine[];
  /** Bytes that the child has written in complete lines, or that were dropped. */
  readonly position: number;
  /** Bytes that fell out at the old end, or that a flood left unread. */
  readonly droppedBytes: number;
}

// A server that never writes a newline must not grow one line without end.
const lineLimitBytes = 8 * 1024;
const newline = 0x0a;

// Cutting a flood of newlines costs the worker many times what reading it does, and everybody's calls wait for
// that. Of what comes in a second beyond what can be kept anyway, only the end of each chunk is looked at.
const floodWindowMs = 1_000;
const floodTailBytes = 1024;

export class BoundedLogRing implements LogRing {
  readonly #limitBytes: number;
  readonly #now: () => number;
  #lines: LogLine[] = [];
  #first = 0;
  #keptBytes = 0;
  #droppedBytes = 0;
  #windowStart = -Infinity;
  #windowBytes = 0;
  #position = 0;

  constructor(limitBytes: number, now: () => number) {
    this.#limitBytes = limitBytes;
    this.#now = now;
  }

  get droppedBytes(): number {
    return this.#droppedBytes;
  }

  get position(): number {
    return this.#position;
  }

  lines(after = 0): readonly LogLine[] {
    const lastKnown = this.#lines.findLastIndex((line) => line.position <= after);
    return this.#lines.slice(Math.max(this.#first, lastKnown + 1));
  }

  /** Reads a stream to its end, cutting it into lines. */
  drain(source: Readable, stream: LogLine["stream"]): void {
    let pending = Buffer.alloc(0);
    source.on("data", (chunk: Buffer) => {
      let rest = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
      if (this.#isFlooded() && rest.length > floodTailBytes) {
        this.#droppedBytes += rest.length - floodTailBytes;
        this.#position += rest.length - floodTailBytes;
        rest = rest.subarray(-floodTailBytes);
      }
      for (;;) {
        const end = rest.indexOf(newline);
        if (end === -1 ? rest.length < lineLimitBytes : false) break;
        const cut = end === -1 ? lineLimitBytes : Math.min(end, lineLimitBytes);
        const next = cut === end ? cut + 1 : cut;
        this.#push(stream, rest.subarray(0, cut), next);
        rest = rest.subarray(next);
      }
      // Copied, so that a short tail does not keep the whole chunk alive.
      pending = Buffer.from(rest);
    });
    source.on("close", () => {
      if (pending.length > 0) this.#push(stream, pending, pending.length);
      pending = Buffer.alloc(0);
    });
    // A reset pipe is the end of the output, nothing more.
    source.on("error", () => {});
  }

  #isFlooded(): boolean {
    // Not the wall clock: one that is set back would make every second a flood.
    const now = performance.now();
    if (now - this.#windowStart >= floodWindowMs) {
      this.#windowStart = now;
      this.#windowBytes = 0;
    }
    return this.#windowBytes > this.#limitBytes;
  }

  #push(stream: LogLine["stream"], content: Buffer, bytes: number): void {
    this.#position += bytes;
    const line: LogLine = {
      at: this.#now(),
      stream,
      text: content.toString("utf8"),
      position: this.#position,
      bytes,
    };
    this.#lines.push(line);
    this.#keptBytes += costBytes(line);
    this.#windowBytes += costBytes(line);
    while (this.#keptBytes > this.#limitBytes && this.#first < this.#lines.length - 1) {
      const dropped = this.#lines[this.#first++];
      if (!dropped) break;
      this.#keptBytes -= costBytes(dropped);
      this.#droppedBytes += costBytes(dropped);
    }
    // Moving the array for each dropped line would be quadratic under a flood; once a thousand is cheap.
    if (this.#first > 1000) {
      this.#lines = this.#lines.slice(this.#first);
      this.#first = 0;
    }
  }
}

// Empty lines must cost something too, or a flood of newlines would be free and endless.
const lineOverheadBytes = 64;

function costBytes(line: LogLine): number {
  return Buffer.byteLength(line.text) + lineOverheadBytes;
}
