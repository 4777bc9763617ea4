import { Refusal } from "./refusal.ts";

/** Every bound of the broker. Each field is a setting of its own; what is not given takes the default. */
export interface EgressLimits {
  /** Open connections of the child. Default 128. */
  connections: number;
  /** Request line and headers together, either way. Default 32 KiB. */
  headerBytes: number;
  /** From the first byte of a connection or request to the end of its headers or TLS handshake. Default 10 s. */
  headersTimeoutMs: number;
  /** Body of one request. Default 64 MiB. */
  requestBytes: number;
  /** Body of one answer, streams included. Default 256 MiB. */
  responseBytes: number;
  /** All request bodies of the instance together. Default 1 GiB. */
  instanceBytesOut: number;
  /** All answers of the instance together. Default 4 GiB. */
  instanceBytesIn: number;
  /** Until the credential is there. Default 15 s. */
  credentialTimeoutMs: number;
  /** DNS, TCP and TLS to the upstream. Default 10 s. */
  connectTimeoutMs: number;
  /** From the last byte sent to the head of the answer. Default 60 s. */
  responseHeadersTimeoutMs: number;
  /** Between two pieces of an answer, and on a connection without a request. Default 5 min. */
  idleTimeoutMs: number;
  /** A whole request with its answer. Default 15 min. */
  totalTimeoutMs: number;
}

export const defaultEgressLimits: EgressLimits = {
  connections: 128,
  headerBytes: 32 * 1024,
  headersTimeoutMs: 10_000,
  requestBytes: 64 * 1024 * 1024,
  responseBytes: 256 * 1024 * 1024,
  instanceBytesOut: 1024 * 1024 * 1024,
  instanceBytesIn: 4 * 1024 * 1024 * 1024,
  credentialTimeoutMs: 15_000,
  connectTimeoutMs: 10_000,
  responseHeadersTimeoutMs: 60_000,
  idleTimeoutMs: 300_000,
  totalTimeoutMs: 900_000,
};

/** Counts what an instance has sent and received in all. */
export class Budget {
  readonly #limits: EgressLimits;
  #bytesOut = 0;
  #bytesIn = 0;

  constructor(limits: EgressLimits) {
    this.#limits = limits;
  }

  /** @throws Refusal when the instance has sent more than it may */
  send(bytes: number): void {
    this.#bytesOut += bytes;
    if (this.#bytesOut > this.#limits.instanceBytesOut) throw new Refusal("quotaExhausted");
  }

  /** @throws Refusal when the instance has received more than it may */
  receive(bytes: number): void {
    this.#bytesIn += bytes;
    if (this.#bytesIn > this.#limits.instanceBytesIn) throw new Refusal("quotaExhausted");
  }
}
