import type { Dispatcher } from "undici";

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

/** All values of a header. Node's own `headers` would keep only the first of a repeated one. */
export function headerValues(raw: RawHeaders, name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    if (raw[i]?.toLowerCase() === name) values.push(raw[i + 1] ?? "");
  }
  return values;
}

/**
 * The headers that may travel on.
 *
 * @param isKeptBack is asked with the name in lower case
 */
export function withoutHopByHop(
  raw: RawHeaders,
  isKeptBack: (name: string, value: string) => boolean,
): string[] {
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

/** Header bytes are Latin-1 on the wire (RFC 9110 section 5.5), and go out as they came. */
export function textOf(raw: Dispatcher.DispatchController["rawHeaders"]): string[] {
  return Array.isArray(raw)
    ? raw.map((part) => (typeof part === "string" ? part : part.toString("latin1")))
    : [];
}
