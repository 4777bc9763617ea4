import { isUtf8 } from "node:buffer";

import { Refusal } from "./refusal.ts";

/** Where a request goes, in the one way that it can be read. */
export interface Target {
  /** Lower case. */
  host: string;
  /** Null where the child named none. */
  port: number | null;
  /** As it came, with the query: what the upstream is sent. */
  pathAndQuery: string;
  /** Every way in which a server could read the path, itself first; all of them have to be admitted. */
  readings: readonly string[];
}

export interface Authority {
  host: string;
  port: number | null;
}

const hostLabel = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
/** RFC 952 and 1123. No trailing dot, no user information, nothing beyond ASCII. */
const authorityForm = new RegExp(`^(${hostLabel}(?:\\.${hostLabel})*)(?::([1-9][0-9]{0,4}))?$`);
/** What a resolver may take for an IPv4 address: its last label is a number (WHATWG URL, "ends in a number"). */
const numericHost = /(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$/;

/**
 * Reads `host` or `host:port`.
 *
 * @throws Refusal when it is an address, or can be read in more than one way
 */
export function readAuthority(text: string): Authority {
  const [, host, port] = authorityForm.exec(text.toLowerCase()) ?? [];
  if (host === undefined || host.length > 253 || numericHost.test(host)) throw new Refusal("targetAmbiguous");
  if (port !== undefined && Number(port) > 65_535) throw new Refusal("targetAmbiguous");
  return { host, port: port === undefined ? null : Number(port) };
}

/**
 * Reads the target of a request (RFC 9112 section 3.2).
 *
 * @param url the request's target, in origin or absolute form
 * @param hostHeaders all values of Host; exactly one is right (section 3.2)
 * @param connection whom the connection was opened to, where CONNECT or the TLS handshake said so
 * @throws Refusal when it can be read in more than one way
 */
export function readTarget(
  url: string,
  hostHeaders: readonly string[],
  connection: Authority | null,
): Target {
  const [hostHeader, ...more] = hostHeaders;
  if (hostHeader === undefined || more.length > 0) throw new Refusal("targetAmbiguous");
  const absolute = /^https?:\/\/([^/?#]*)(.*)$/i.exec(url);
  // Section 3.2.2 lets an absolute form win over Host; a peer that does not know that would read it otherwise.
  const named = [hostHeader, ...(absolute ? [absolute[1] ?? ""] : [])].map(readAuthority);
  const [first] = named;
  if (!first) throw new Refusal("targetAmbiguous");
  for (const other of named.slice(1)) {
    if (other.host !== first.host || other.port !== first.port) throw new Refusal("hostMismatch");
  }
  if (connection && (connection.host !== first.host || (first.port ?? connection.port) !== connection.port))
    throw new Refusal("hostMismatch");

  const pathAndQuery = absolute ? absolute[2] || "/" : url;
  const [path = ""] = pathAndQuery.split("?", 1);
  // Asterisk and authority forms, what another reader would take for a host, and what no URL may hold (RFC 3986).
  if (!/^\/(?!\/)[!-~]*$/.test(pathAndQuery) || /[\\#]/.test(pathAndQuery))
    throw new Refusal("targetAmbiguous");
  refuseCredentials(pathAndQuery.slice(path.length + 1));
  const port = connection?.port ?? first.port;
  return { host: first.host, port, pathAndQuery, readings: readingsOf(path) };
}

/** Encodings laid over each other beyond this are nobody's honest path. */
const decodingLimit = 3;

/**
 * The path as it is, and as it is after each further decoding. An encoded slash is legal (GitHub's branch names need
 * it) and harmless where both readings are admitted; dot segments are never needed, so one in any reading is refused.
 */
function readingsOf(path: string): string[] {
  // Some servers have escapes of their own, such as `%u002e`.
  if (/%(?![0-9a-f]{2})/i.test(path)) throw new Refusal("targetAmbiguous");
  const readings = [path];
  let reading = path;
  while (/%[0-9a-f]{2}/i.test(reading)) {
    if (readings.length > decodingLimit) throw new Refusal("targetAmbiguous");
    reading = decode(reading);
    readings.push(reading);
  }
  return readings.map((text) => {
    // Full-width dots and slashes become plain ones in some servers.
    const plain = text
      .normalize("NFKC")
      .replaceAll("\\", "/")
      .replaceAll(/\/{2,}/g, "/");
    // After a segment, `;x` is a parameter in some servers.
    if (/\p{Cc}/u.test(plain) || /\/\.{1,2}(?:[/;]|$)/.test(plain)) throw new Refusal("targetAmbiguous");
    return plain;
  });
}

/** @throws Refusal for what decodes to no UTF-8; overlong forms of dot and slash are none */
function decode(text: string): string {
  const decoded = Buffer.from(text)
    .toString("latin1")
    .replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCodePoint(Number.parseInt(hex, 16)));
  const bytes = Buffer.from(decoded, "latin1");
  if (!isUtf8(bytes)) throw new Refusal("targetAmbiguous");
  return bytes.toString();
}

/** Names under which upstreams take a credential from the query (RFC 6750 section 2.3). */
const credentialParameters = /^(?:access_token|oauth_token|private_token|client_secret|api_?key)$/i;

/** With a token of its own, a hostile child could carry data into an account of its own on an allowed host. */
function refuseCredentials(query: string): void {
  if (query === "") return;
  for (const name of new URLSearchParams(query).keys()) {
    if (credentialParameters.test(name.trim())) throw new Refusal("credentialInQuery");
  }
}
