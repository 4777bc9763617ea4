/** A flat list of names and values in the order of the wire, as `IncomingMessage.rawHeaders` has it. */
export type RawHeaders = readonly string[];

/** RFC 9110 section 7.6.1, and the older names that still occur: they are about one connection only. */
const hopByHop = new Set([
  "connection",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

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

/** All values of a header. Node's own `headers` would keep only the first of a repeated one. */
export function headerValues(raw: RawHeaders, name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    if (raw[i]?.toLowerCase() === name) values.push(raw[i + 1] ?? "");
  }
  return values;
}

/** The headers of a client's request that its instance gets. */
export function forwardRequestHeaders(raw: RawHeaders): string[] {
  return filter(
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
  return filter(
    raw,
    (name) => keptFromClient.has(name) || name.startsWith("proxy-") || name.startsWith("access-control-"),
  );
}

function filter(raw: RawHeaders, isKeptBack: (name: string, value: string) => boolean): string[] {
  const named = new Set(
    headerValues(raw, "connection").flatMap((value) =>
      value.split(",").map((name) => name.trim().toLowerCase()),
    ),
  );
  const kept: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? "";
    const value = raw[i + 1] ?? "";
    const key = name.toLowerCase();
    if (!hopByHop.has(key) && !named.has(key) && !isKeptBack(key, value)) kept.push(name, value);
  }
  return kept;
}
