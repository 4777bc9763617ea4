import ipaddr from "ipaddr.js";

/** What IPv6 hands out to the public (RFC 4291 section 2.4); forms that wrap an IPv4 address lie mostly outside. */
const globalUnicast = ipaddr.IPv6.parseCIDR("2000::/3");

/** Addresses that look public and lead into the host's own cloud: Azure's platform channel. */
const platformAddresses = new Set(["168.63.129.16"]);

/**
 * Says whether an address lies on the public internet. Everything special does not: loopback, private, link-local (the
 * metadata service), carrier-grade NAT, unique local, multicast, reserved, and IPv6 forms that wrap an IPv4 address
 * (mapped, compatible, 6to4, Teredo, NAT64), since whoever unwraps them may reach the address inside.
 * Source: the IANA special-purpose address registries (RFC 6890), as ipaddr.js has them.
 */
export function isPublicAddress(address: string): boolean {
  if (ipaddr.IPv4.isValidFourPartDecimal(address))
    return ipaddr.IPv4.parse(address).range() === "unicast" && !platformAddresses.has(address);
  // By its text: the library reads `::8.8.8.8` as the IPv4 address.
  if (!address.includes(":") || !ipaddr.IPv6.isValid(address)) return false;
  const parsed = ipaddr.IPv6.parse(address);
  return parsed.range() === "unicast" && parsed.match(globalUnicast);
}
