import { STATUS_CODES, type ServerResponse } from "node:http";

import { safeHeaders } from "./headers.ts";

/** An answer of the ingress itself, never of a child. Headers are a flat list of names and values. */
export interface Answer {
  status: number;
  headers: readonly string[];
  body: string;
}

/** Ends a request with an answer of our own. It can only be thrown while no byte of a response is out. */
export class Refused extends Error {
  readonly answer: Answer;

  constructor(answer: Answer, options?: ErrorOptions) {
    super(`refused with ${answer.status}`, options);
    this.name = "Refused";
    this.answer = answer;
  }
}

/**
 * What the ingress says on its own behalf. The sentences are constants on purpose: a path, a socket's name,
 * a header or a driver's message can then never reach a client.
 */
const problems = {
  malformedRequest: [400, "The request is not well-formed HTTP/1.1. Send it again with a correct client."],
  hostRepeated: [400, "The request carries more than one Host header. Send exactly one."],
  hostNotAllowed: [403, "This Host is not served here. Use the endpoint exactly as MiniMCP printed it."],
  originNotAllowed: [403, "This Origin may not call the gateway. An administrator can allow it."],
  notFound: [404, "Nothing is served here. Use the endpoint exactly as MiniMCP printed it."],
  methodNotAllowed: [405, "This method is not served here. Use one of those in the Allow header."],
  requestTimeout: [408, "The request did not arrive in time. Send it again, without pauses."],
  requestTooLarge: [413, "The request body is too large."],
  mediaType: [415, "Send the JSON-RPC message as application/json in UTF-8, without a Content-Encoding."],
  headersTooLarge: [431, "The request headers are too large. Send fewer or shorter headers."],
  internal: [500, "The gateway could not answer. Try again; if it persists, ask its administrator."],
  unreachable: [
    502,
    "The instance's MCP server cannot be reached. Try again in a moment; if it persists, create a new instance.",
  ],
  connectionLost: [
    502,
    "The instance's MCP server went away before it answered. Check whether the call took effect before sending it again.",
  ],
  responseInvalid: [
    502,
    "The instance's MCP server gave an answer that MCP does not allow (a redirect, a demand for credentials, or no end of informational ones).",
  ],
  responseTooLarge: [502, "The answer is too large. Ask for less, for example page by page."],
  verdictMissing: [503, "The access token cannot be checked right now. Try again in a moment."],
  starting: [503, "The instance is still starting. Try again in a moment."],
  ended: [503, "The instance ended during this request. Send it again to learn why."],
  closing: [503, "This gateway is shutting down. Try again in a moment."],
  notReady: [503, "This gateway is not ready yet."],
  responseTimeout: [504, "The instance's MCP server did not answer in time. Ask for less, or try again."],
} as const satisfies Record<string, readonly [status: number, detail: string]>;

export type ProblemReason = keyof typeof problems;

/**
 * An RFC 9457 problem. `type` stays `about:blank`, so `title` is the phrase of the status (section 4.2.1);
 * programs read the extension member `reason`.
 *
 * @param more overrides the sentence, or adds members to the body and headers to the answer
 */
export function problem(
  reason: ProblemReason,
  more: { detail?: string; headers?: readonly string[] } = {},
): Answer {
  const [status, detail] = problems[reason];
  return problemOf(status, reason, more.detail ?? detail, {}, more.headers);
}

/** A problem whose reason and sentence come from elsewhere (a verdict). */
export function problemOf(
  status: number,
  reason: string,
  detail: string,
  members: Readonly<Record<string, string | undefined>> = {},
  headers: readonly string[] = [],
): Answer {
  return {
    status,
    headers: ["Content-Type", "application/problem+json", ...headers],
    body: JSON.stringify({
      type: "about:blank",
      title: STATUS_CODES[status],
      status,
      detail,
      reason,
      ...members,
    }),
  };
}

/** A JSON-RPC 2.0 error (section 5.1) for a body that is no single message: its id cannot be known. */
export function rpcError(code: -32700 | -32600, message: string): Answer {
  return {
    status: 400,
    headers: ["Content-Type", "application/json"],
    body: JSON.stringify({ jsonrpc: "2.0", id: null, error: { code, message } }),
  };
}

/** `Retry-After` takes whole seconds (RFC 9110 section 10.2.3). */
export function retryAfter(seconds: number): readonly string[] {
  return ["Retry-After", String(Math.max(1, Math.ceil(seconds)))];
}

/** Sends one of our own answers, unless the client is gone. */
export function send(response: ServerResponse, answer: Answer, extraHeaders: readonly string[] = []): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(answer.status, [...ownHeaders(answer), ...extraHeaders]);
  response.end(response.req.method === "HEAD" ? undefined : answer.body);
}

/** The bytes of an answer for a connection on which no request could be parsed; it ends the connection. */
export function serialize(answer: Answer): string {
  const headers = [...ownHeaders(answer), "Connection", "close"];
  const lines = [`HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status]}`];
  for (let i = 0; i < headers.length; i += 2) lines.push(`${headers[i]}: ${headers[i + 1]}`);
  return `${lines.join("\r\n")}\r\n\r\n${answer.body}`;
}

function ownHeaders(answer: Answer): string[] {
  return [
    ...answer.headers,
    // A 204 must not announce a body (RFC 9110 section 8.6).
    ...(answer.status === 204 ? [] : ["Content-Length", String(Buffer.byteLength(answer.body))]),
    ...safeHeaders,
  ];
}
