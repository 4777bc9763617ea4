import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";

export interface SharedReaderOptions<T> {
  /** @param last what the read before this one found */
  read: (last: T | undefined) => Promise<T>;
  /** Told of a failed read, which is repeated. */
  onError: (error: unknown) => void;
  /** Told when the last follower has left. */
  onIdle: () => void;
  /** Ends the pauses between reads. */
  closing: AbortSignal;
}

/** Between two reads of the same thing: changes that come faster are read together. */
const pauseMs = 250;
const retryMs = 1_000;

/**
 * Something in the database that several look at. It is read again when it has changed, once for all of them, and who
 * is slow sees the newest and not everything in between: a follower costs no memory, and a change one read.
 */
export class SharedReader<T> {
  readonly #options: SharedReaderOptions<T>;
  readonly #waiting = new Set<() => void>();
  #latest: { value: T; version: number } | undefined;
  #followers = 0;
  #isStale = false;
  #reading: Promise<void> | undefined;

  constructor(options: SharedReaderOptions<T>) {
    this.#options = options;
  }

  /** Says that it has, or may have, changed. */
  touch(): void {
    this.#isStale = true;
    this.#reading ??= this.#keepReading().finally(() => {
      this.#reading = undefined;
      if (this.#isStale && this.#followers > 0 && !this.#options.closing.aborted) this.touch();
    });
  }

  /**
   * What is there now, and then what it has become, until the signal aborts.
   * @throws the signal's reason
   */
  async *follow(signal: AbortSignal): AsyncGenerator<T, void> {
    this.#followers += 1;
    this.touch();
    try {
      for (let seen = 0; ;) {
        signal.throwIfAborted();
        if (this.#latest !== undefined && this.#latest.version > seen) {
          seen = this.#latest.version;
          yield this.#latest.value;
        } else await this.#nextVersion(signal);
      }
    } finally {
      this.#followers -= 1;
      if (this.#followers === 0) this.#options.onIdle();
    }
  }

  /** Resolves when no read is under way any more. */
  async settled(): Promise<void> {
    await this.#reading;
  }

  async #keepReading(): Promise<void> {
    const { read, onError, closing } = this.#options;
    while (this.#isStale && this.#followers > 0 && !closing.aborted) {
      this.#isStale = false;
      let waitMs = pauseMs;
      try {
        this.#publish(await read(this.#latest?.value));
      } catch (error) {
        // The database is away, mostly: those who follow go on with what they have until it is back.
        onError(error);
        this.#isStale = true;
        waitMs = retryMs;
      }
      await delay(waitMs, undefined, { signal: closing }).catch(() => undefined);
    }
  }

  #publish(value: T): void {
    if (this.#latest !== undefined && isDeepStrictEqual(this.#latest.value, value)) return;
    this.#latest = { value, version: (this.#latest?.version ?? 0) + 1 };
    for (const wake of this.#waiting) wake();
  }

  async #nextVersion(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener("abort", wake, { once: true });
    });
  }
}
