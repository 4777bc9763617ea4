import { Pool } from "undici";

import { problem, Refused, retryAfter } from "./answer.ts";

interface Upstream {
  socketPath: string;
  pool: Pool;
  forget(): void;
}

/** Why the calls of a pool were cut. */
export class LeaseEnded extends Error {
  constructor() {
    super("the lease of the instance ended");
    this.name = "LeaseEnded";
  }
}

/**
 * The connections to the children: one pool a lease, never shared between instances (CVE-2026-25536 is what
 * sharing leads to). Destroying a lease's pool is what cuts its open calls.
 */
export class Upstreams implements AsyncDisposable {
  readonly #byLease = new Map<AbortSignal, Upstream>();

  /** @throws Refused when the lease has ended */
  poolFor(ended: AbortSignal, socketPath: string): Pool {
    if (ended.aborted) throw new Refused(problem("ended", { headers: retryAfter(1) }));
    const known = this.#byLease.get(ended);
    if (known?.socketPath === socketPath) return known.pool;
    // The child was started again at another path: nothing answers on the old one.
    known?.forget();
    void known?.pool.destroy();
    return this.#open(ended, socketPath);
  }

  #open(ended: AbortSignal, socketPath: string): Pool {
    const pool = new Pool("http://localhost", {
      // Two calls on one connection would wait for each other.
      pipelining: 1,
      allowH2: false,
      connect: { socketPath, timeout: 5_000 },
      // The relay has one clock for a whole answer; a stream may be silent for its whole lease.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    const onEnded = () => {
      this.#byLease.delete(ended);
      void pool.destroy(new LeaseEnded());
    };
    ended.addEventListener("abort", onEnded, { once: true });
    this.#byLease.set(ended, { socketPath, pool, forget: () => ended.removeEventListener("abort", onEnded) });
    return pool;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const upstreams = [...this.#byLease.values()];
    this.#byLease.clear();
    for (const upstream of upstreams) upstream.forget();
    await Promise.all(upstreams.map((upstream) => upstream.pool.destroy()));
  }
}
