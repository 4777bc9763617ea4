import { type RawHeaders, withoutHopByHop } from "../raw-headers.ts";

/** What a child must not see, or what the relay says itself. */
const keptFromChild = new Set([
  "authorization",
  "cookie",
  "cookie2",
  // Where the client sits is none of the child's business, and what a client claims about it is no fact.
  "forwarded",
  "x-real-ip",
  // Judged here already; a child with a list of its own would refuse what was allowed.
  "host",
  "origin",
  "referer",
  // The relay counts the bytes itself, and has answered the expectation.
  "content-length",
  "expect",
  // Compressing on a Unix socket costs time and holds back events.
  "accept-encoding",
]);

/** What a child must not say: all instances share one origin, and these speak for the whole of it. */
const keptFromClient = new Set([
  "set-cookie",
  "set-cookie2",
  "alt-svc",
  "clear-site-data",
  "strict-transport-security",
  "public-key-pins",
  // A browser keeps these for the origin: it would report what other instances are asked to an address of the child's,
  // tell it more of itself, or read their answers with a dictionary of the child's.
  "nel",
  "report-to",
  "accept-ch",
  "use-as-dictionary",
  "reporting-endpoints",
  "content-security-policy-report-only",
  "service-worker-allowed",
  "origin-agent-cluster",
  // Would send the client's sign-in to an address of the child's choice.
  "www-authenticate",
  "authentication-info",
  // Would lead the client elsewhere, or make it fetch from there; no answer of MCP does.
  "location",
  "content-location",
  "refresh",
  "link",
  "sourcemap",
  "x-sourcemap",
  // Orders to a proxy in front: to send one of its own files in place of the answer, or to keep it for others.
  "x-sendfile",
  "x-lighttpd-send-file",
  "surrogate-control",
  "cdn-cache-control",
  // Set by the relay for every answer.
  "cache-control",
  "expires",
  "pragma",
  "age",
  "x-content-type-options",
  "content-security-policy",
]);

/** Of `X-Accel-`, a proxy's orders, the relay gives its own to every event stream. */
const keptPrefixes = ["proxy-", "access-control-", "x-accel-"];

/** The same for an answer of the relay's and of a child's: nobody keeps it, and no browser takes it for a page. */
export const safeHeaders: readonly string[] = [
  "Cache-Control",
  "no-store",
  "X-Content-Type-Options",
  "nosniff",
  "Content-Security-Policy",
  "default-src 'none'; frame-ancestors 'none'",
];

/** Any credential of MiniMCP: access token, session, refresh or personal token. */
const ownToken = /m(?:cp|ss|rt|mp)_[0-9A-Za-z]{49}/;

/** Says whether a text carries a credential of MiniMCP. */
export function bearsToken(text: string): boolean {
  return ownToken.test(text);
}

/** The headers of a client's request that its instance gets. */
export function forwardRequestHeaders(raw: RawHeaders): string[] {
  return withoutHopByHop(
    raw,
    (name, value) =>
      keptFromChild.has(name) ||
      name.startsWith("proxy-") ||
      name.startsWith("x-forwarded-") ||
      bearsToken(value),
  );
}

/** The headers of a child's response that the client gets. */
export function forwardResponseHeaders(raw: RawHeaders): string[] {
  const kept = withoutHopByHop(
    raw,
    (name) => keptFromClient.has(name) || keptPrefixes.some((prefix) => name.startsWith(prefix)),
  );
  return [...kept, ...safeHeaders];
}
