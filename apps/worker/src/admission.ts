import { setTimeout as delay } from "node:timers/promises";

import { authorizeToken, type NodeIdentity, type TokenVerdict } from "@minimcp/core";
import { type Database, DatabaseUnavailable } from "@minimcp/db";
import type { Verdict } from "@minimcp/gateway";

import type { HeldInstance } from "./held-instance.ts";

export interface AdmissionOptions {
  /** Apart from leases and ends: whoever floods it, with tokens of his own making, must not keep leases from renewal. */
  tokens: Database;
  identity: NodeIdentity;
  /** Whether every change committed until a second ago is known here (see the LISTEN connection). */
  isFresh(): boolean;
  /** The instance when this node holds it. */
  find(instanceId: string): HeldInstance | undefined;
}

interface TokenRequest {
  instanceId: string;
  tokenDigest: Buffer;
}

/** How long a call waits for an instance that this node is about to claim. Less than the gateway waits for a verdict. */
const claimWaitMs = 4_000;
/** How long the holder of a token that was live a moment ago waits for a database that does not answer. */
const knownTokenWaitMs = 1_000;

/** Decides which calls come in. */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #waiters = new Set<() => void>();
  #closed = false;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** What a token is good for. */
  async authorize(request: TokenRequest, signal: AbortSignal): Promise<Verdict> {
    const digest = request.tokenDigest.toString("base64");
    const held = this.#serving(request.instanceId);
    const liveTokens = held?.liveTokens;
    const isKnown = liveTokens?.has(digest) === true;
    if (held !== undefined && isKnown && this.#options.isFresh()) return admitted(held);

    const verdict = await this.#ask(request, isKnown);
    if (verdict === null) {
      // The database is away. What was live is served until the lease runs out: nobody else can have claimed it yet.
      if (held?.isServing && held.liveTokens === liveTokens && isKnown) return admitted(held);
      return { kind: "unavailable", retryAfterSeconds: 2, reason: "databaseUnavailable" };
    }
    if (verdict.kind === "unknown") return { kind: "refused", reason: "unknown" };
    if (verdict.kind === "over") return { kind: "refused", reason: verdict.reason, at: verdict.at };
    const isElsewhere = verdict.nodeId !== null && verdict.nodeId !== this.#options.identity.nodeId;
    const instance = isElsewhere
      ? undefined
      : await this.#whenHeld(request.instanceId, verdict.fence, signal);
    if (instance === undefined) return { kind: "unavailable", retryAfterSeconds: 1, reason: "notHere" };
    if (instance === held) liveTokens?.add(digest);
    return admitted(instance);
  }

  /** Instances have been claimed: whoever waits for one looks again. */
  lookAgain(): void {
    for (const waiter of this.#waiters) waiter();
  }

  /** Nothing will be claimed any more. */
  close(): void {
    this.#closed = true;
    this.lookAgain();
  }

  /** What the database says of a token; null when it is away, or too slow for somebody who can be served without it. */
  async #ask(request: TokenRequest, isKnown: boolean): Promise<TokenVerdict | null> {
    const asked = authorizeToken(this.#options.tokens, request.instanceId, request.tokenDigest).catch(
      (error: unknown) => {
        if (error instanceof DatabaseUnavailable) return null;
        throw error;
      },
    );
    if (!isKnown) return await asked;
    const answered = new AbortController();
    const late = delay(knownTokenWaitMs, null, { signal: answered.signal }).catch(() => null);
    return await Promise.race([asked, late]).finally(() => answered.abort());
  }

  #serving(instanceId: string): HeldInstance | undefined {
    const held = this.#options.find(instanceId);
    return held?.isServing ? held : undefined;
  }

  /**
   * The instance once this node holds it; a new one is claimed within moments of its creation.
   * @param fence the claim that the database knows of: who holds the instance under an older one lost it
   */
  async #whenHeld(instanceId: string, fence: number, signal: AbortSignal): Promise<HeldInstance | undefined> {
    const patience = AbortSignal.any([signal, AbortSignal.timeout(claimWaitMs)]);
    for (;;) {
      const held = this.#serving(instanceId);
      if (held !== undefined && held.fence >= fence) return held;
      if (patience.aborted || this.#closed) return undefined;
      await new Promise<void>((resolve) => {
        const done = () => {
          this.#waiters.delete(done);
          patience.removeEventListener("abort", done);
          resolve();
        };
        this.#waiters.add(done);
        patience.addEventListener("abort", done, { once: true });
      });
    }
  }
}

function admitted(instance: HeldInstance): Verdict {
  return { kind: "admitted", target: instance.target };
}
