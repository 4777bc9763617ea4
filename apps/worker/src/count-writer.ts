import { recordCalls } from "@minimcp/core";
import { type Database, DatabaseUnavailable } from "@minimcp/db";

import { CallCounter } from "./call-counts.ts";

/** Counts what instances do, and brings it to their receipts. */
export class CountWriter {
  readonly counter = new CallCounter();
  readonly #db: Database;
  #flushing: Promise<void> = Promise.resolve();

  constructor(db: Database) {
    this.#db = db;
  }

  /** One flush at a time: who finds the counter empty must not go on while its counts are still on their way. */
  flush(): Promise<void> {
    const flush = this.#flushing.then(() => this.#write());
    this.#flushing = flush.catch(() => undefined);
    return flush;
  }

  async #write(): Promise<void> {
    const counts = this.counter.take();
    if (counts.size === 0) return;
    try {
      await recordCalls(this.#db, counts);
    } catch (error) {
      const isUncertain = error instanceof DatabaseUnavailable && !error.retryable;
      if (isUncertain) this.counter.lose(counts);
      else this.counter.restore(counts);
      throw error;
    }
  }
}
