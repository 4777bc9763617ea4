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
  // Would send the client's sign-in to an address of the child's choice.
  "www-authenticate",
  // Set by the relay for every event stream.
  "x-accel-buffering",
]);

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
  return withoutHopByHop(
    raw,
    (name) => keptFromClient.has(name) || name.startsWith("proxy-") || name.startsWith("access-control-"),
  );
}
