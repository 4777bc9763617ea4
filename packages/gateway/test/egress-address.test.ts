// The attack: an allowed name is made to lead to this machine, its network, or the cloud's metadata service.
import { expect, test } from "vitest";

import { isPublicAddress } from "../src/egress/public-address.ts";
import { ask, github, openEgress, other } from "./egress-harness.ts";

const special = [
  "127.0.0.1",
  "127.255.255.254",
  "0.0.0.0",
  "10.0.0.1",
  "172.16.0.1",
  "192.168.1.1",
  "100.64.0.1",
  "100.100.100.200",
  "169.254.169.254",
  "168.63.129.16",
  "192.0.0.192",
  "192.0.2.1",
  "198.18.0.1",
  "224.0.0.1",
  "240.0.0.1",
  "255.255.255.255",
  "::",
  "::1",
  "::127.0.0.1",
  "::8.8.8.8",
  "::ffff:8.8.8.8",
  "010.0.0.1",
  "8.8.8",
  "134744072",
  "::ffff:127.0.0.1",
  "::ffff:169.254.169.254",
  "::ffff:0:127.0.0.1",
  "fc00::1",
  "fd00:ec2::254",
  "fe80::1",
  "fe80::1%eth0",
  "fec0::1",
  "ff02::1",
  "64:ff9b::7f00:1",
  "64:ff9b:1::7f00:1",
  "2001::1",
  "2001:db8::1",
  "2002:7f00:1::",
  "100::1",
  "4000::1",
  "not an address",
  "",
];

test("EGR-2: a name that resolves to an address that is not public is denied, alone and among public ones", async () => {
  let answers: string[] = [];
  let lookups = 0;
  await using egress = await openEgress((_, response) => response.end(), {
    loopbackUpstreams: {},
    resolve: async () => {
      lookups++;
      return answers.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
    },
  });
  for (const address of special) {
    for (answers of [[address], ["8.8.8.8", address]]) {
      expect((await ask(egress)).reason, answers.join(" ")).toBe("addressNotPublic");
    }
  }
  expect(egress.decisions.every(({ allowed }) => !allowed)).toBe(true);
  // Once a connection: there is no second answer that could differ from the judged one.
  expect(lookups).toBe(special.length * 2);
  expect(egress.upstream.connections()).toBe(0);
});

test("public addresses are public, in both families", () => {
  for (const address of ["8.8.8.8", "140.82.121.6", "2606:4700::1111", "2a00:1450:4001::200a"]) {
    expect(isPublicAddress(address), address).toBe(true);
  }
});

test("a name that does not resolve, or to nothing, is an upstream that cannot be reached", async () => {
  await using egress = await openEgress((_, response) => response.end(), {
    loopbackUpstreams: {},
    resolve: async (host) => {
      if (host === github) throw new Error("ENOTFOUND");
      return [];
    },
  });
  expect(await ask(egress)).toMatchObject({ status: 502, reason: "upstreamUnreachable" });
  expect(await ask(egress, { host: other })).toMatchObject({ status: 502, reason: "upstreamUnreachable" });
});

test("EGR-4: a redirect to a private address leads nowhere, and one to another host carries no credential", async () => {
  const seen: (string | undefined)[] = [];
  await using egress = await openEgress((request, response) => {
    if (request.headers.host === other) {
      seen.push(request.headers.authorization);
      response.end("file");
      return;
    }
    const location =
      request.url === "/file" ? `https://${other}/file` : "http://169.254.169.254/latest/meta-data";
    response.writeHead(302, { location }).end();
  });
  // The broker follows nothing itself: each step is a request of the child's, judged like the first.
  const metadata = await ask(egress, { path: "/metadata" });
  expect(metadata.status).toBe(302);
  const { host: address, pathname } = new URL(metadata.headers.location ?? "");
  expect(await ask(egress, { host: address, path: pathname })).toMatchObject({ status: 403 });

  const file = new URL((await ask(egress, { path: "/file" })).headers.location ?? "");
  const followed = await ask(egress, {
    host: file.host,
    path: file.pathname,
    headers: { authorization: "Bearer carried-along" },
  });
  expect(followed.text).toBe("file");
  expect(seen).toEqual([undefined]);
});

test("an upstream whose certificate is not for its name, or from nobody that is trusted, gets no request", async () => {
  let requests = 0;
  const handler = (_: unknown, response: { end(): unknown }) => {
    requests++;
    return response.end();
  };
  await using wrongName = await openEgress(handler, { certify: () => "evil.test" });
  expect(await ask(wrongName)).toMatchObject({ status: 502, reason: "upstreamUntrusted" });
  await using stranger = await openEgress(handler);
  await using untrusted = await openEgress(handler, {
    loopbackUpstreams: {
      [github]: {
        port: stranger.upstream.port,
        certificateAuthority: wrongName.upstream.certificateAuthority,
      },
    },
  });
  expect(await ask(untrusted)).toMatchObject({ status: 502, reason: "upstreamUntrusted" });
  expect(requests).toBe(0);
});
