/**
 * Whether a request was made for this dashboard by name. A page of an attacker whose name is made to point here (DNS
 * rebinding) asks with its own.
 * @param ownUrl the address as browsers see it
 */
export function isOwnHost(host: string | null, ownUrl: string): boolean {
  return host !== null && ownHosts(ownUrl).includes(host.toLowerCase());
}

/**
 * Whether a page of this dashboard itself sent the request. The cookie is SameSite=Strict already; this also holds
 * against a page of the same site at another origin (another port, a subdomain). Where the browser says nothing of
 * where the request comes from, it is refused.
 */
export function isFromOwnPage(headers: Headers, ownUrl: string): boolean {
  const site = headers.get("sec-fetch-site");
  if (site !== null && site !== "same-origin") return false;
  const origin = headers.get("origin");
  if (origin === null) return site === "same-origin";
  if (!URL.canParse(origin)) return false;
  const { protocol, host } = new URL(origin);
  return protocol === new URL(ownUrl).protocol && isOwnHost(host, ownUrl);
}

/** On loopback both of its usual names lead here, and the browser's address bar holds either. */
function ownHosts(ownUrl: string): string[] {
  const { hostname, host, port } = new URL(ownUrl);
  const loopback = ["127.0.0.1", "localhost"];
  return loopback.includes(hostname)
    ? loopback.map((name) => (port === "" ? name : `${name}:${port}`))
    : [host];
}
