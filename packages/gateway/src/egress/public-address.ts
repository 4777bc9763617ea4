import ipaddr from "ipaddr.js";

const globalUnicast6 = ipaddr.parseCIDR("2000::/3") as [ipaddr.IPv6, number];

/** Addresses that look public and lead into the host's own cloud: Azure's platform channel. */
const platformAddresses = new Set(["168.63.129.16"]);

/**
 * Says whether an address lies on the public internet. Everything special is not: loopback, private, link-local (the
 * metadata service), carrier-grade NAT, unique local, multicast, reserved, and IPv6 forms that wrap an IPv4 address
 * (mapped, compatible, 6to4, Teredo, NAT64), since whoever unwraps them may reach the address inside.
 * Source: the IANA special-purpose address registries (RFC 6890), as ipaddr.js has them.
 */
export function isPublicAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.process(address);
  if (parsed.range() !== "unicast") return false;
  if (parsed instanceof ipaddr.IPv6) return parsed.match(globalUnicast6);
  return !platformAddresses.has(parsed.toString());
}
