import { createLineRedactor, type LogLineRecord } from "@minimcp/core";
import { DatabaseUnavailable } from "@minimcp/db";
import type { LogRing } from "@minimcp/pool";

/** The output of one child of a claim. */
interface Output {
  logs: LogRing;
  /** What the children before it had written. */
  base: number;
  /** The position in `logs` up to which lines were taken. */
  taken: number;
  redact: Record<"stdout" | "stderr", (line: string) => string>;
}

interface Source {
  fence: number;
  /** In their order; the last one may still write. */
  outputs: Output[];
  /** Taken, and not known to be stored. */
  pending: LogLineRecord[];
  allowedLines: number;
  allowedBytes: number;
  allowedAt: number;
  /** Stored since old lines were last cut off. */
  untrimmed: number;
}

export interface LogShipperOptions {
  /** @param trim ids of instances whose old lines are to be cut off */
  store(lines: readonly LogLineRecord[], trim: readonly string[]): Promise<void>;
}

/** A child may write so much at once, and then so much a second; what is beyond is dropped, oldest first. */
const burst = { lines: 200, bytes: 64 * 1024 };
const perSecond = { lines: 20, bytes: 8 * 1024 };
/** No more often than this, however often there is an occasion. */
const intervalMs = 900;
const trimAfterLines = 100;
/** A line that is longer is cut. In characters, of which none takes more than three bytes. */
const maxTextLength = 4_096;

/**
 * Brings what the children write to where its owner can read it: redacted, once a second, and at a bounded rate however
 * much they write. Nothing is held here but the lines of a single write: until they are taken they stay in the child's
 * ring.
 */
export class LogShipper {
  readonly #options: LogShipperOptions;
  readonly #sources = new Map<string, Source>();
  #shipping: Promise<void> = Promise.resolve();
  #shippedAt = -Infinity;

  constructor(options: LogShipperOptions) {
    this.#options = options;
  }

  /** A child of a claim has begun to write. */
  add({ instanceId, fence }: { instanceId: string; fence: number }, logs: LogRing): void {
    let source = this.#sources.get(instanceId);
    if (source?.fence !== fence) {
      source = {
        fence,
        outputs: [],
        pending: [],
        allowedLines: burst.lines,
        allowedBytes: burst.bytes,
        allowedAt: performance.now(),
        // Whoever held it before may have left more than is kept.
        untrimmed: trimAfterLines,
      };
      this.#sources.set(instanceId, source);
    }
    const previous = source.outputs.at(-1);
    const base = previous === undefined ? 0 : previous.base + previous.logs.position;
    const redact = { stdout: createLineRedactor(), stderr: createLineRedactor() };
    source.outputs.push({ logs, base, taken: 0, redact });
  }

  /** Nothing more of it is to be stored. */
  forget({ instanceId, fence }: { instanceId: string; fence: number }): void {
    if (this.#sources.get(instanceId)?.fence === fence) this.#sources.delete(instanceId);
  }

  /** Stores what there is, unless that was done a moment ago. @throws what `store` throws */
  async shipInTurn(): Promise<void> {
    if (performance.now() - this.#shippedAt >= intervalMs) await this.ship();
  }

  /** Stores what there is. @throws what `store` throws */
  ship(): Promise<void> {
    const shipped = this.#shipping.then(() => this.#ship());
    this.#shipping = shipped.catch(() => undefined);
    return shipped;
  }

  async #ship(): Promise<void> {
    this.#shippedAt = performance.now();
    for (const [instanceId, source] of this.#sources) {
      if (source.pending.length === 0) take(instanceId, source);
    }
    const sources = [...this.#sources].filter(([, { pending }]) => pending.length > 0);
    if (sources.length === 0) return;
    const trim = sources.filter(([, { untrimmed, pending }]) => untrimmed + pending.length >= trimAfterLines);
    try {
      await this.#options.store(
        sources.flatMap(([, { pending }]) => pending),
        trim.map(([instanceId]) => instanceId),
      );
    } catch (error) {
      // Stored twice is stored once, so they can wait for the database. What it refuses would be refused for ever.
      if (!(error instanceof DatabaseUnavailable)) for (const [, source] of sources) source.pending = [];
      throw error;
    }
    for (const [, source] of sources) {
      source.untrimmed += source.pending.length;
      source.pending = [];
    }
    for (const [, source] of trim) source.untrimmed = 0;
  }
}

/** Takes the newest lines that are allowed now, and passes over those before them. */
function take(instanceId: string, source: Source): void {
  const now = performance.now();
  const seconds = (now - source.allowedAt) / 1_000;
  source.allowedAt = now;
  source.allowedLines = Math.min(burst.lines, source.allowedLines + seconds * perSecond.lines);
  source.allowedBytes = Math.min(burst.bytes, source.allowedBytes + seconds * perSecond.bytes);

  const lines = source.outputs.flatMap((output) => {
    const behind = output.logs.lines(output.taken);
    output.taken = behind.at(-1)?.position ?? output.taken;
    return behind.map((line) => ({ output, line, cost: Buffer.byteLength(line.text) }));
  });
  source.outputs = source.outputs.slice(-1);
  const firstTaken = lines.findLastIndex(({ cost }) => {
    source.allowedLines -= 1;
    source.allowedBytes -= cost;
    return source.allowedLines < 0 || source.allowedBytes < 0;
  });
  source.pending = lines.slice(firstTaken + 1).map(({ output, line }) => ({
    instanceId,
    fence: source.fence,
    position: output.base + line.position,
    bytes: line.bytes,
    at: line.at,
    stream: line.stream,
    text: cut(output.redact[line.stream](line.text)),
  }));
}

function cut(text: string): string {
  return text.length <= maxTextLength ? text : `${text.slice(0, maxTextLength - 1).toWellFormed()}…`;
}
