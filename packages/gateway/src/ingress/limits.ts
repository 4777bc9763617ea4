/** Every bound of the ingress. Each field is a setting of its own; what is not given takes the default. */
export interface IngressLimits {
  /** Largest request body. Default 4 MiB. */
  requestBodyBytes: number;
  /** Largest answer that is one message. An event stream is bounded by backpressure instead. Default 32 MiB. */
  responseBodyBytes: number;
  /** Request line and headers together. Default 16 KiB. */
  headerBytes: number;
  /** From the first byte of a request to the end of its headers. Default 10 s. */
  headersTimeoutMs: number;
  /** From the first byte of a request to the last byte of its body; the answer is not counted. Default 60 s. */
  requestTimeoutMs: number;
  /** How long a verdict may take. Default 5 s. */
  authorizeWaitMs: number;
  /** How long a call waits for its instance to start. Default 10 s. */
  startWaitMs: number;
  /** Until an event stream has begun, or until any other answer is complete. Default 5 min. */
  responseTimeoutMs: number;
  /** How long a connection without a request stays open. Default 60 s. */
  idleTimeoutMs: number;
  /** How long `close()` waits for open calls before it cuts them. Default 5 s. */
  drainMs: number;
}

export const defaultLimits: IngressLimits = {
  requestBodyBytes: 4 * 1024 * 1024,
  responseBodyBytes: 32 * 1024 * 1024,
  headerBytes: 16 * 1024,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  authorizeWaitMs: 5_000,
  startWaitMs: 10_000,
  responseTimeoutMs: 300_000,
  idleTimeoutMs: 60_000,
  drainMs: 5_000,
};
