import { type ServerResponse, STATUS_CODES } from "node:http";

/**
 * What the broker says on its own behalf. The sentences are constants: neither a secret nor a driver's message can
 * reach a child through them.
 */
const refusals = {
  malformedRequest: [400, "The request is not well-formed HTTP/1.1."],
  hostNotAllowed: [403, "This server may not call that host."],
  portNotAllowed: [403, "This server may not call that port of the host."],
  methodNotAllowed: [403, "This server may not use that method there."],
  pathNotAllowed: [403, "This server may not call that path of the host."],
  targetAmbiguous: [
    403,
    "The address can be read in more than one way. Send host and path in their plain form.",
  ],
  hostMismatch: [403, "Host header, connection and address name different hosts. Name one."],
  credentialInQuery: [403, "A URL must not carry a credential. MiniMCP adds the credential itself."],
  headerNotAllowed: [
    403,
    "The request carries a header that changes its meaning (Upgrade, a method override, or several credentials).",
  ],
  tlsExpected: [403, "Only TLS may pass through CONNECT."],
  addressNotPublic: [403, "The host's name leads to an address that is not public."],
  requestTimeout: [408, "The request did not arrive in time."],
  requestTooLarge: [413, "The request body is larger than the limit of a request."],
  expectationFailed: [417, "Send the request without an Expect header."],
  quotaExhausted: [429, "This instance has used up the bytes that it may send or receive. Create a new one."],
  headersTooLarge: [431, "The request headers are too large."],
  credentialUnavailable: [
    502,
    "The instance's API key cannot be used right now. Try again, or replace the key.",
  ],
  upstreamUnreachable: [502, "The upstream cannot be reached. Try again in a moment."],
  upstreamUntrusted: [502, "The upstream's certificate is not valid for its name."],
  upstreamInvalid: [502, "The upstream's answer is not well-formed HTTP/1.1."],
  upstreamLost: [
    502,
    "The upstream closed the connection before it answered. Check whether the call took effect.",
  ],
  responseTooLarge: [
    502,
    "The answer is larger than the limit of an answer. Ask for less, for example page by page.",
  ],
  tooManyConnections: [503, "This server has too many connections open. Close some and try again."],
  upstreamTimeout: [504, "The upstream did not answer in time. Ask for less, or try again."],
} as const satisfies Record<string, readonly [status: number, sentence: string]>;

export type RefusalReason = keyof typeof refusals;

/** Ends a request with an answer of the broker's own. */
export class Refusal extends Error {
  readonly reason: RefusalReason;
  readonly status: number;

  constructor(reason: RefusalReason, options?: ErrorOptions) {
    const [status, sentence] = refusals[reason];
    super(sentence, options);
    this.name = "Refusal";
    this.reason = reason;
    this.status = status;
  }
}

interface Answer {
  status: number;
  headers: Record<string, string | number>;
  body: string;
}

/**
 * @param allowed what the child may call instead, in words, for a denial
 */
function answerOf(refusal: Refusal, allowed: string): Answer {
  const isDenied = refusal.status === 403;
  const message = isDenied
    ? `Denied by MiniMCP's egress broker: ${refusal.message} Allowed: ${allowed}. An administrator can change this in the catalogue of server types.`
    : `MiniMCP's egress broker: ${refusal.message}`;
  const code = isDenied ? "egress.denied" : `egress.${refusal.reason}`;
  // Twice, for the clients that make an error of the answer: GitHub's look for it on top, Google's inside.
  const body = JSON.stringify({ message, error: { code, reason: refusal.reason, message } });
  return {
    status: refusal.status,
    headers: {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
      "x-minimcp-egress": isDenied ? "denied" : "failed",
    },
    body,
  };
}

export function sendRefusal(response: ServerResponse, refusal: Refusal, allowed: string): void {
  if (response.headersSent || response.destroyed) return;
  const { status, headers, body } = answerOf(refusal, allowed);
  response.writeHead(status, headers).end(response.req.method === "HEAD" ? undefined : body);
}

/** The bytes of a refusal for a connection without a request that could be answered. */
export function serializeRefusal(refusal: Refusal, allowed: string): string {
  const { status, headers, body } = answerOf(refusal, allowed);
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...lines, "connection: close", "", body].join("\r\n");
}
