import { type RawHeaders, withoutHopByHop } from "../raw-headers.ts";
import type { Injection } from "./options.ts";
import { swapPlaceholder } from "./placeholder.ts";
import type { Rules } from "./rules.ts";

/** Written anew for the upstream's connection, or about the child's side only. */
const keptFromUpstream = new Set(["host", "content-length", "expect", "forwarded", "via", "x-real-ip"]);

/**
 * Whatever names a credential. A child holds none; one that it sends all the same is somebody else's, and would carry
 * data into an account of theirs on an allowed host. Cookies are credentials too.
 */
const credentialName = /(?:^|[-_])(?:authorization|cookie2?|credentials?|password|secret|token|api-?key)$/;

/** Makes a request another one than the rules judged. */
const overrideNames = new Set([
  "x-http-method",
  "x-http-method-override",
  "x-method-override",
  "x-original-url",
  "x-rewrite-url",
]);

/** Says whether a header changes the meaning of the request that carries it. */
export function changesMeaning(name: string): boolean {
  return name === "upgrade" || overrideNames.has(name);
}

/** Says whether a header carries a credential, under whatever name this upstream takes one. */
export function namesCredential(name: string, injection: Injection | null): boolean {
  return credentialName.test(name) || name === injection?.header?.toLowerCase();
}

/** The headers of a child's request that its upstream gets; credentials are added elsewhere. */
export function forwardRequestHeaders(raw: RawHeaders, injection: Injection | null): string[] {
  return withoutHopByHop(
    raw,
    (name) =>
      keptFromUpstream.has(name) ||
      name.startsWith("proxy-") ||
      name.startsWith("x-forwarded-") ||
      name.startsWith("x-minimcp-") ||
      namesCredential(name, injection),
  );
}

/** The credential's header as the type's declaration has it: for children that hold nothing. */
export function presentSecret(injection: Injection, secret: string): [name: string, value: string] {
  switch (injection.scheme) {
    case "bearer":
      return ["authorization", `Bearer ${secret}`];
    case "basic":
      return [
        "authorization",
        `Basic ${Buffer.from(`${injection.username ?? ""}:${secret}`).toString("base64")}`,
      ];
    case "header":
      return [injection.header ?? "authorization", `${injection.prefix ?? ""}${secret}`];
  }
}

/** The child's own credential headers in which the placeholder stood, with the secret in its place. */
export function swapCredentials(
  raw: RawHeaders,
  injection: Injection,
  placeholder: string,
  secret: string,
): string[] {
  const swapped: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i]?.toLowerCase() ?? "";
    if (name !== "authorization" && name !== injection.header?.toLowerCase()) continue;
    const value = swapPlaceholder(raw[i + 1] ?? "", placeholder, secret);
    if (value !== null) swapped.push(name, value);
  }
  return swapped;
}

/**
 * The headers of an answer that the child gets. Set-Cookie is not among them: a session that an upstream begins for
 * the real credential would be a credential in the child's hands.
 */
export function forwardResponseHeaders(raw: RawHeaders): string[] {
  return withoutHopByHop(
    raw,
    (name) =>
      name === "set-cookie" ||
      name === "set-cookie2" ||
      // An offer of other hosts and protocols (RFC 7838), none of which leads through the broker.
      name === "alt-svc" ||
      name.startsWith("proxy-") ||
      name.startsWith("x-minimcp-"),
  );
}

const linkNames = new Set(["location", "content-location", "link"]);

/**
 * For a child that speaks plain HTTP to the broker: links to hosts that it may call lead through the broker again,
 * so that a redirect or the next page is one more request to be judged.
 *
 * @param headers flat; changed in place
 */
export function rewriteLinks(headers: string[], rules: Rules): void {
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (!linkNames.has(headers[i]?.toLowerCase() ?? "")) continue;
    headers[i + 1] = (headers[i + 1] ?? "").replaceAll(
      /\bhttps:\/\/([a-z0-9.-]+)(?=[:/?#>]|$)/gi,
      (link, host: string) => (rules.names(host.toLowerCase()) ? `http://${host}` : link),
    );
  }
}
