import { closeInstance, type Closing, type NodeIdentity } from "@minimcp/core";
import { type Database, DatabaseUnavailable } from "@minimcp/db";
import type { Logger } from "pino";

interface Lease {
  instanceId: string;
  fence: number;
}

export interface PendingEndsOptions {
  db: Database;
  identity: NodeIdentity;
  log: Logger;
  /** Whether something of it is still there: then its end has not happened yet. */
  isHeld(instanceId: string): boolean;
  /** Writes what has to be there before an instance is over. */
  flush(): Promise<void>;
  /** Its end was written, or turned out to be none of this node's. */
  onSettled(lease: Lease, isOver: boolean): void;
  /** Told of an end that could not be written yet. */
  onError(error: unknown, instanceId: string): void;
}

/** Ends that were decided here, and are not yet written to the database. */
export class PendingEnds {
  readonly #options: PendingEndsOptions;
  readonly #ends = new Map<string, { fence: number; closing: Closing }>();
  #pass: Promise<void> = Promise.resolve();
  #nextPass: Promise<void> | undefined;

  constructor(options: PendingEndsOptions) {
    this.#options = options;
  }

  has(instanceId: string): boolean {
    return this.#ends.has(instanceId);
  }

  /** @returns false when its end was decided before: that one stands */
  add({ instanceId, fence }: Lease, closing: Closing): boolean {
    if (this.has(instanceId)) return false;
    this.#ends.set(instanceId, { fence, closing });
    return true;
  }

  /** Whoever comes while a pass is under way shares the next one, which sees what that one has missed. */
  write(): Promise<void> {
    this.#nextPass ??= this.#pass.then(() => {
      this.#nextPass = undefined;
      return this.#writeAll();
    });
    this.#pass = this.#nextPass;
    return this.#pass;
  }

  /** Writes the ends that have really happened. One that cannot be written now is tried again in the next round. */
  async #writeAll(): Promise<void> {
    const { db, identity, log } = this.#options;
    for (const [instanceId, { fence, closing }] of this.#ends) {
      if (this.#options.isHeld(instanceId)) continue;
      try {
        await this.#options.flush();
        const isOver = await closeInstance(db, identity, { instanceId, fence }, closing);
        this.#ends.delete(instanceId);
        if (isOver) log.info({ instanceId, closing }, "an instance is over");
        this.#options.onSettled({ instanceId, fence }, isOver);
      } catch (error) {
        this.#options.onError(error, instanceId);
        // Only a lock is the trouble of one row; to wait for a database that is away once for each takes for ever.
        if (error instanceof DatabaseUnavailable && error.reason !== "timeout") return;
      }
    }
  }
}
