import type { IncomingMessage } from "node:http";

import { type Answer, problem, Refused } from "./answer.ts";
import { headerValues } from "../raw-headers.ts";

/**
 * Against DNS rebinding: a page whose name was made to point here sends its own name as Host.
 *
 * @throws Refused 400 for more than one Host (RFC 9112 section 3.2), 403 for a foreign one
 */
export function judgeHost(request: IncomingMessage, allowedHosts: readonly string[]): void {
  const [host, ...more] = headerValues(request.rawHeaders, "host");
  if (more.length > 0) throw new Refused(problem("hostRepeated"));
  if (!host || !allowedHosts.includes(host.toLowerCase())) throw new Refused(problem("hostNotAllowed"));
}

/**
 * MCP's transport rule: an Origin that is present must be known. No Origin means that no browser is asking.
 *
 * @returns the CORS headers that every answer to this caller carries
 * @throws Refused 403
 */
export function judgeOrigin(request: IncomingMessage, allowedOrigins: readonly string[]): readonly string[] {
  const [origin, ...more] = headerValues(request.rawHeaders, "origin");
  if (origin === undefined) return [];
  if (more.length > 0 || !allowedOrigins.includes(origin)) throw new Refused(problem("originNotAllowed"));
  return [
    "Access-Control-Allow-Origin",
    origin,
    "Access-Control-Expose-Headers",
    "Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate, Retry-After",
    "Vary",
    "Origin",
  ];
}

/** A list of header names, short enough to be one. */
const headerNames = /^[!#$%&'*+.^`|~\w, -]{1,1024}$/;

/**
 * The answer to the preflight of an allowed origin. The headers asked for are granted as they are: `Mcp-Param-*`
 * names are the child's own, and `*` would not cover Authorization (Fetch standard, section 3.3.4).
 */
export function preflight(request: IncomingMessage): Answer {
  const [asked = ""] = headerValues(request.rawHeaders, "access-control-request-headers");
  return {
    status: 204,
    headers: [
      "Access-Control-Allow-Methods",
      "POST, GET, DELETE",
      "Access-Control-Allow-Headers",
      headerNames.test(asked) ? asked : "Authorization, Content-Type",
      "Access-Control-Max-Age",
      "600",
    ],
    body: "",
  };
}
