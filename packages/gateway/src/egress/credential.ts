import type { CredentialSource } from "./options.ts";
import { Refusal } from "./refusal.ts";

interface Current {
  secret: Buffer;
  /** Milliseconds since 1970. */
  readAt: number;
  expiresAt: number | null;
  /** Whether it was read because the upstream had refused the one before. */
  isReplacement: boolean;
}

/** A token that ends this soon could end on its way. */
const expiryMarginMs = 30_000;
/** A replacement that is refused sooner than this is not at fault: yet another one would be refused as well. */
const replacementMs = 60_000;
/** How long a failure answers for the calls behind it, so that a child cannot hammer a token endpoint. */
const failureMs = 1_000;

/**
 * The secret of an instance: opened at its first use, kept in a Buffer that is filled with zeros at the end. What
 * cannot be zeroed is the header's string of each request; the engine's heap drops it with the request.
 */
export class Credential implements Disposable {
  readonly #source: CredentialSource;
  readonly #timeoutMs: number;
  readonly #now: () => number;
  readonly #end = new AbortController();
  #current: Current | null = null;
  #reading: Promise<void> | null = null;
  #isRejected = false;
  #failure: { at: number; refusal: Refusal } | null = null;

  constructor(source: CredentialSource, timeoutMs: number, now: () => number) {
    this.#source = source;
    this.#timeoutMs = timeoutMs;
    this.#now = now;
  }

  /** Whether a refused secret can be replaced by a new one. */
  get isRenewable(): boolean {
    return "readToken" in this.#source;
  }

  /**
   * However many ask, one read is under way; it goes on when one of them leaves.
   *
   * @returns a copy, which the caller fills with zeros
   * @throws Refusal when there is none
   */
  async get(): Promise<Buffer> {
    if (!this.#isUsable()) {
      this.#end.signal.throwIfAborted();
      if (this.#failure && this.#isWithin(failureMs, this.#failure.at)) throw this.#failure.refusal;
      this.#reading ??= this.#read().finally(() => (this.#reading = null));
      await this.#reading;
    }
    if (!this.#current) throw new Refusal("credentialUnavailable");
    return Buffer.from(this.#current.secret);
  }

  #isUsable(): boolean {
    const { expiresAt } = this.#current ?? { expiresAt: 0 };
    return expiresAt === null || expiresAt - expiryMarginMs > this.#now();
  }

  /** A clock that is set back must not make a short while last for days. */
  #isWithin(durationMs: number, at: number): boolean {
    return Math.abs(this.#now() - at) < durationMs;
  }

  /**
   * The upstream refused a secret (401).
   *
   * @returns whether `get` now has, or will get, another one
   */
  reject(secret: Buffer): boolean {
    if (!this.isRenewable) return false;
    if (!this.#current?.secret.equals(secret)) return true;
    const { isReplacement, readAt } = this.#current;
    if (isReplacement && this.#isWithin(replacementMs, readAt)) return false;
    this.#isRejected = true;
    this.#forget();
    return true;
  }

  async #read(): Promise<void> {
    const signal = AbortSignal.any([this.#end.signal, AbortSignal.timeout(this.#timeoutMs)]);
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    });
    try {
      await Promise.race([this.#open(signal), aborted]);
    } catch (cause) {
      const refusal = new Refusal("credentialUnavailable", { cause });
      this.#failure = { at: this.#now(), refusal };
      throw refusal;
    }
  }

  async #open(signal: AbortSignal): Promise<void> {
    const source = this.#source;
    const { token, expiresAt } =
      "readToken" in source
        ? await source.readToken(signal)
        : { token: await source.read(signal), expiresAt: null };
    // A line break would begin another header.
    if (signal.aborted || !/^[!-~]+$/.test(token.toString("latin1"))) {
      token.fill(0);
      throw new Error("the credential came too late, is empty, or holds characters that no header may carry");
    }
    this.#forget();
    this.#current = { secret: token, readAt: this.#now(), expiresAt, isReplacement: this.#isRejected };
    this.#isRejected = false;
    this.#failure = null;
  }

  #forget(): void {
    this.#current?.secret.fill(0);
    this.#current = null;
  }

  [Symbol.dispose](): void {
    this.#end.abort(new Refusal("credentialUnavailable"));
    this.#forget();
  }
}
