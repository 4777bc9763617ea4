import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { connect as connectTls } from "node:tls";

import { expect, test } from "vitest";

import { ask, canary, github, open, openEgress, openTunnel, other, ways } from "./egress-harness.ts";
import { until } from "./until.ts";

test.for(ways)(
  "a request by way of %s reaches its upstream over TLS with the credential added",
  async (way) => {
    let authorization: string | undefined;
    await using egress = await openEgress(async (request, response) => {
      ({ authorization } = request.headers);
      const body = await text(request);
      response.end(
        JSON.stringify({ url: request.url, method: request.method, headers: request.headers, body }),
      );
    });
    const answer = await ask(egress, { way, method: "POST", path: "/repos?q=1", body: "hello" });
    expect(answer.status).toBe(200);
    const seen = JSON.parse(answer.text);
    expect(seen).toMatchObject({ url: "/repos?q=1", method: "POST", body: "hello" });
    expect(seen.headers).toMatchObject({ host: github, "content-length": "5" });
    expect(authorization).toBe(`Bearer ${canary}`);
    expect(egress.decisions).toEqual([
      { host: github, method: "POST", allowed: true, status: 200, bytesOut: 5, bytesIn: expect.any(Number) },
    ]);
  },
);

test("an absolute form means the same as Host", async () => {
  await using egress = await openEgress((request, response) =>
    response.end(`${request.headers.host}${request.url}`),
  );
  for (const scheme of ["http", "https", "HTTP"]) {
    expect((await ask(egress, { path: `${scheme}://API.github.test/a?b` })).text).toBe(`${github}/a?b`);
  }
});

test("one connection serves request after request, plain and in a tunnel", async () => {
  await using egress = await openEgress((request, response) => response.end(request.url));
  const tunnel = await openTunnel(egress, `${github}:443`);
  const socket = connectTls({ socket: tunnel, servername: github, ca: egress.broker.caCertificate });
  for (const path of ["/1", "/2", "/3"]) {
    const request = httpRequest({
      path,
      createConnection: () => socket,
      headers: { host: github, connection: "keep-alive" },
    });
    request.end();
    const [response] = await once(request, "response");
    expect(await text(response)).toBe(path);
  }
  expect(egress.upstream.connections()).toBe(1);
  socket.destroy();
});

test("HTTP/1.1 is all that is offered inside TLS", async () => {
  await using egress = await openEgress((_, response) => response.end());
  const { socketPath: path, caCertificate: ca } = egress.broker;
  const both = connectTls({ path, ca, servername: github, ALPNProtocols: ["h2", "http/1.1"] });
  await once(both, "secureConnect");
  expect(both.alpnProtocol).toBe("http/1.1");
  expect(both.getProtocol()).toBe("TLSv1.3");
  both.destroy();
  const only2 = connectTls({ path, ca, servername: github, ALPNProtocols: ["h2"] });
  await expect(once(only2, "secureConnect")).rejects.toThrow(/no application protocol/i);
  const old = connectTls({ path, ca, servername: github, maxVersion: "TLSv1.1", minVersion: "TLSv1" });
  await expect(once(old, "secureConnect")).rejects.toThrow(/protocol/i);
});

test("a tunnel's handshake must name the host that CONNECT named, and a connection without a name is refused", async () => {
  await using egress = await openEgress((_, response) => response.end());
  const { socketPath: path, caCertificate: ca } = egress.broker;
  const socket = connectTls({ socket: await openTunnel(egress, `${github}:443`), servername: other, ca });
  await expect(once(socket, "secureConnect")).rejects.toThrow(/disconnected|ECONNRESET/);
  await until("the refusal is recorded", () =>
    egress.decisions.some(({ reason }) => reason === "hostMismatch"),
  );
  const nameless = connectTls({ path, ca, checkServerIdentity: () => undefined });
  await expect(once(nameless, "secureConnect")).rejects.toThrow(/handshake failure|disconnected|ECONNRESET/);
});

test("a request for another host than its connection is denied", async () => {
  await using egress = await openEgress((_, response) => response.end());
  const socket = connectTls({
    socket: await openTunnel(egress, `${github}:443`),
    servername: github,
    ca: egress.broker.caCertificate,
  });
  const request = httpRequest({ createConnection: () => socket, headers: { host: other } });
  request.end();
  const [response] = await once(request, "response");
  expect(await text(response)).toContain("hostMismatch");
  expect(egress.upstream.connections()).toBe(0);
});

test("only TLS passes through a tunnel", async () => {
  await using egress = await openEgress((_, response) => response.end());
  const tunnel = await openTunnel(egress, `${github}:443`);
  tunnel.write(`GET / HTTP/1.1\r\nHost: ${github}\r\n\r\n`);
  expect(await text(tunnel)).toContain("tlsExpected");
  expect(egress.upstream.connections()).toBe(0);
});

test("bytes that come one at a time are the same request", async () => {
  await using egress = await openEgress((request, response) => response.end(request.url));
  const socket = connect(egress.broker.socketPath);
  socket.setNoDelay(true);
  for (const byte of `GET /slow HTTP/1.1\r\nHost: ${github}\r\nConnection: close\r\n\r\n`) {
    await new Promise((resolve) => socket.write(byte, resolve));
  }
  expect(await text(socket)).toMatch(/^HTTP\/1\.1 200 [^]*\/slow/);
});

test("events arrive one by one, and the answer's head before them", async () => {
  const { promise: received, resolve: release } = Promise.withResolvers<void>();
  await using egress = await openEgress(async (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.flushHeaders();
    response.write("data: 1\n\n");
    await received;
    response.end("data: 2\n\n");
  });
  const response = await open(egress, { way: "tls" });
  const events: string[] = [];
  for await (const chunk of response) {
    events.push(String(chunk));
    release();
  }
  expect(events).toEqual(["data: 1\n\n", "data: 2\n\n"]);
});

test("an answer is passed on as it is, without what concerns one connection, sets a session or shows other ways", async () => {
  await using egress = await openEgress((_, response) => {
    response.writeHead(404, [
      ["Content-Type", "application/json"],
      ["X-RateLimit-Remaining", "9"],
      ["X-Twice", "1"],
      ["X-Twice", "2"],
      ["Set-Cookie", "session=1"],
      ["Alt-Svc", 'h3=":443"'],
      ["X-MiniMCP-Egress", "denied"],
      ["Connection", "x-hop"],
      ["X-Hop", "1"],
    ]);
    response.end("{}");
  });
  const { status, headers, text: body } = await ask(egress);
  expect({ status, body }).toEqual({ status: 404, body: "{}" });
  expect(headers).toMatchObject({ "x-ratelimit-remaining": "9", "x-twice": "1, 2" });
  for (const name of ["set-cookie", "alt-svc", "x-minimcp-egress", "x-hop"])
    expect(headers).not.toHaveProperty(name);
});

test("the upstream sees nothing of the proxy and no hop-by-hop header", async () => {
  await using egress = await openEgress((request, response) =>
    response.end(JSON.stringify(request.rawHeaders)),
  );
  const answer = await ask(egress, {
    headers: {
      accept: "application/json",
      "x-github-api-version": "2022-11-28",
      connection: "keep-alive, x-hop",
      "x-hop": "1",
      te: "trailers",
      via: "1.1 child",
      forwarded: "for=10.0.0.1",
      "x-forwarded-for": "10.0.0.1",
      "proxy-authorization": "Basic x",
      "proxy-connection": "keep-alive",
      "x-minimcp-anything": "1",
      "accept-encoding": "gzip",
    },
  });
  const raw: string[] = JSON.parse(answer.text);
  const names = raw.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
  expect(names.toSorted()).toEqual([
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "host",
    "x-github-api-version",
  ]);
});

test("links and redirects to the server's own hosts lead a plain client through the broker again", async () => {
  const link = `<https://${github}/next?page=2>; rel="next", <https://elsewhere.test/x>; rel="last"`;
  await using egress = await openEgress((_, response) =>
    response.writeHead(302, { location: `https://${other}/file`, link }).end(),
  );
  const plain = await ask(egress);
  expect(plain.headers).toMatchObject({
    location: `http://${other}/file`,
    link: link.replace(`https://${github}`, `http://${github}`),
  });
  expect((await ask(egress, { way: "tls" })).headers).toMatchObject({
    location: `https://${other}/file`,
    link,
  });
});
