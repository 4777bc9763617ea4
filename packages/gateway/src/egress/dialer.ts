import type { LookupAddress } from "node:dns";
import { lookup } from "node:dns/promises";
import type { LookupFunction } from "node:net";
import { callbackify } from "node:util";

import { buildConnector } from "undici";

import type { EgressLimits } from "./limits.ts";
import type { BrokerOptions } from "./options.ts";
import { isPublicAddress } from "./public-address.ts";
import { Refusal } from "./refusal.ts";

/** Resolves a host name to all its addresses. */
export type Resolve = (host: string) => Promise<readonly LookupAddress[]>;

const resolveBySystem: Resolve = (host) => lookup(host, { all: true });

/**
 * Makes connections to upstreams. A name is resolved once a connection, inside the connect itself: the addresses that
 * were judged are the ones that are dialled, so a name that changes its answer in between (DNS rebinding) gains
 * nothing. The certificate is verified against the host's real name.
 */
export function createDialer(
  options: Pick<BrokerOptions, "resolve" | "loopbackUpstreams">,
  limits: Pick<EgressLimits, "connectTimeoutMs">,
): buildConnector.connector {
  const common = {
    allowH2: false,
    timeout: limits.connectTimeoutMs,
    // Named, so that NODE_TLS_REJECT_UNAUTHORIZED cannot turn it off.
    rejectUnauthorized: true,
    minVersion: "TLSv1.2",
  } as const;
  const dialPublic = buildConnector({ ...common, lookup: lookupPublic(options.resolve ?? resolveBySystem) });
  const dialLoopback = new Map(
    Object.entries(options.loopbackUpstreams ?? {}).map(([host, { port, certificateAuthority }]) => {
      const dial = buildConnector({ ...common, ca: certificateAuthority, lookup: lookupLoopback });
      return [host, { dial, port: String(port) }];
    }),
  );
  return (target, callback) => {
    const loopback = dialLoopback.get(target.hostname);
    const servername = target.hostname;
    if (loopback) loopback.dial({ ...target, servername, port: loopback.port }, callback);
    else dialPublic({ ...target, servername }, callback);
  };
}

function lookupPublic(resolve: Resolve): LookupFunction {
  const lookUp = callbackify(async (host: string) => await resolvePublic(resolve, host));
  return (host, { all }, callback) => {
    lookUp(host, (error, addresses) => {
      const [first] = error ? [] : addresses;
      if (!first) callback(error ?? new Refusal("upstreamUnreachable"), []);
      else if (all) callback(null, [...addresses]);
      else callback(null, first.address, first.family);
    });
  };
}

async function resolvePublic(resolve: Resolve, host: string): Promise<readonly LookupAddress[]> {
  const addresses = await resolve(host).catch((cause: unknown) => {
    throw new Refusal("upstreamUnreachable", { cause });
  });
  // One address that is not public spoils the whole answer: a resolver that mixes them is not to be trusted.
  if (!addresses.every(({ address }) => isPublicAddress(address))) throw new Refusal("addressNotPublic");
  return addresses;
}

const lookupLoopback: LookupFunction = (_host, { all }, callback) => {
  if (all) callback(null, [{ address: "127.0.0.1", family: 4 }]);
  else callback(null, "127.0.0.1", 4);
};
