import { once } from "node:events";
import { access, stat } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { connect } from "node:net";
import { text } from "node:stream/consumers";

import { expect, test } from "vitest";

import {
  ask,
  begin,
  canary,
  type Egress,
  github,
  open,
  openEgress,
  openTunnel,
  sendRaw,
  ways,
} from "./egress-harness.ts";
import { until } from "./until.ts";

const kilobyte = Buffer.alloc(1024, "x");

function reasonsOf(egress: Egress): unknown[] {
  return egress.decisions.map(({ reason }) => reason);
}

test("a body beyond its limit is refused, whether its length is announced or found out", async () => {
  await using egress = await openEgress(
    (request, response) => {
      request.resume();
      request.once("end", () => response.end("whole"));
    },
    { limits: { requestBytes: 64 * 1024 } },
  );
  expect(await ask(egress, { method: "POST", body: Buffer.alloc(64 * 1024) })).toMatchObject({
    text: "whole",
  });
  expect(await ask(egress, { method: "POST", body: Buffer.alloc(64 * 1024 + 1) })).toMatchObject({
    status: 413,
    reason: "requestTooLarge",
  });
  const request = await begin(egress, { method: "POST", headers: { "transfer-encoding": "chunked" } });
  request.on("error", () => {});
  const answered = once(request, "response");
  for (let i = 0; i < 65; i++) request.write(kilobyte);
  const [response] = await answered;
  expect(response.statusCode).toBe(413);
  request.destroy();
  await until("the refusal is recorded", () => egress.decisions.length === 3);
  expect(egress.decisions.at(-1)).toMatchObject({ reason: "requestTooLarge", allowed: true });
  expect(egress.decisions.at(-1)?.bytesOut).toBeLessThanOrEqual(64 * 1024);
});

test("an answer beyond its limit is refused when its length is announced, and cut when it is not", async () => {
  await using egress = await openEgress(
    (request, response) => {
      if (request.url === "/announced") response.setHeader("content-length", 64 * 1024 + 1);
      response.end(Buffer.alloc(64 * 1024 + (request.url === "/fits" ? 0 : 1)));
      if (request.url === "/endless") response.flushHeaders();
    },
    { limits: { responseBytes: 64 * 1024 } },
  );
  expect((await ask(egress, { path: "/fits" })).text).toHaveLength(64 * 1024);
  expect(await ask(egress, { path: "/announced" })).toMatchObject({
    status: 502,
    reason: "responseTooLarge",
  });
  await using streaming = await openEgress(
    (_, response) => {
      response.flushHeaders();
      response.end(Buffer.alloc(64 * 1024 + 1));
    },
    { limits: { responseBytes: 64 * 1024 } },
  );
  await expect(ask(streaming)).rejects.toThrow(/aborted|ECONNRESET|hang up/);
  await until("the cut is recorded", () => streaming.decisions.length === 1);
  expect(streaming.decisions).toMatchObject([{ reason: "responseTooLarge", status: 200 }]);
});

test("what an instance may send and receive in all is bounded over its requests", async () => {
  await using egress = await openEgress(
    (request, response) => {
      request.resume();
      request.once("end", () => response.end(kilobyte));
    },
    { limits: { instanceBytesOut: 3 * 1024, instanceBytesIn: 5 * 1024 } },
  );
  for (let i = 0; i < 3; i++)
    expect((await ask(egress, { method: "POST", body: kilobyte })).status).toBe(200);
  expect(await ask(egress, { method: "POST", body: kilobyte })).toMatchObject({
    status: 429,
    reason: "quotaExhausted",
  });
  for (let i = 0; i < 2; i++) expect((await ask(egress)).status).toBe(200);
  await expect(ask(egress)).rejects.toThrow(/aborted|ECONNRESET|hang up/);
});

test("connections beyond the limit are told so, and one that ends makes room", async () => {
  await using egress = await openEgress((_, response) => response.end("ok"), { limits: { connections: 2 } });
  const [first, second] = [connect(egress.broker.socketPath), connect(egress.broker.socketPath)];
  await Promise.all([once(first, "connect"), once(second, "connect")]);
  await until("the third is refused", async () => (await ask(egress)).reason === "tooManyConnections");
  first.destroy();
  await until("there is room", async () => (await ask(egress)).text === "ok");
  second.destroy();
  expect(reasonsOf(egress)).toContain("tooManyConnections");
});

test("a child that is slow with its first byte, its headers or its handshake is let go", async () => {
  await using egress = await openEgress((_, response) => response.end(), {
    limits: { headersTimeoutMs: 500 },
  });
  expect(await sendRaw(egress, "")).toBe("");
  expect(await sendRaw(egress, `GET / HTTP/1.1\r\nHost: ${github}\r\n`)).toMatch(
    /^HTTP\/1\.1 408 [^]*requestTimeout/,
  );
  expect(await sendRaw(egress, "\x16\x03\x01")).toBe("");
  const tunnel = await openTunnel(egress, `${github}:443`);
  await once(tunnel.resume(), "close");
});

test("headers beyond their limit are refused", async () => {
  await using egress = await openEgress((_, response) => response.end());
  expect(await ask(egress, { headers: { "x-long": "x".repeat(33 * 1024) } })).toMatchObject({
    status: 431,
    reason: "headersTooLarge",
  });
  expect(egress.upstream.connections()).toBe(0);
});

test("an upstream that answers not at all, not in time, or not in HTTP is an error in words", async () => {
  await using silent = await openEgress(() => {}, {
    limits: { connectTimeoutMs: 1_000, responseHeadersTimeoutMs: 100 },
  });
  expect(await ask(silent)).toMatchObject({ status: 504, reason: "upstreamTimeout" });
  await using stalling = await openEgress((_, response) => response.write("begun"), {
    limits: { idleTimeoutMs: 200 },
  });
  await expect(ask(stalling)).rejects.toThrow(/aborted|ECONNRESET|hang up/);
  expect(reasonsOf(stalling)).toEqual(["upstreamTimeout"]);
  await using endless = await openEgress(
    (_, response) => {
      const timer = setInterval(() => response.write("."), 20);
      response.once("close", () => clearInterval(timer));
    },
    { limits: { totalTimeoutMs: 1_500 } },
  );
  await expect(ask(endless)).rejects.toThrow(/aborted|ECONNRESET|hang up/);
  expect(reasonsOf(endless)).toEqual(["upstreamTimeout"]);
  await using garbled = await openEgress((request) =>
    request.socket.end("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"),
  );
  expect(await ask(garbled)).toMatchObject({ status: 502, reason: "upstreamInvalid" });
  await using lost = await openEgress((request) => request.socket.destroy());
  expect(await ask(lost)).toMatchObject({ status: 502, reason: "upstreamLost" });
  await using half = await openEgress((request, response) => {
    response.writeHead(200, { "content-length": 10 });
    response.write("half", () => request.socket.destroy());
  });
  await expect(ask(half)).rejects.toThrow(/aborted|ECONNRESET|hang up/);
});

test("an upstream that cannot be reached is an error in words, and another request finds it again", async () => {
  await using egress = await openEgress((_, response) => response.end());
  await egress.upstream[Symbol.asyncDispose]();
  expect(await ask(egress)).toMatchObject({ status: 502, reason: "upstreamUnreachable" });
});

test.for(ways)("when a child leaves, by way of %s, its upstream is let go", async (way) => {
  let begun: ServerResponse | null = null;
  let closed = 0;
  await using egress = await openEgress((request, response) => {
    begun = response;
    response.once("close", () => closed++);
    if (request.url === "/stream") response.write("data: 1\n\n");
  });
  for (const [index, path] of ["/silent", "/stream"].entries()) {
    begun = null;
    const gone = new AbortController();
    const asked = open(egress, { way, path, signal: gone.signal }).catch(() => null);
    await until("the upstream has the request", () => begun !== null);
    if (path === "/stream") await asked;
    gone.abort();
    await until("the upstream is let go", () => closed === index + 1);
    await until("it is recorded", () => egress.decisions.length === index + 1);
  }
  expect(reasonsOf(egress)).toEqual(["aborted", "aborted"]);
});

test("a child that leaves while it sends leaves half a request nowhere", async () => {
  const outcomes: string[] = [];
  let isBegun = false;
  await using egress = await openEgress((request) => {
    isBegun = true;
    text(request).then(
      () => outcomes.push("whole"),
      () => outcomes.push("cut"),
    );
  });
  const request = await begin(egress, { method: "POST", headers: { "transfer-encoding": "chunked" } });
  request.on("error", () => {});
  request.write(kilobyte);
  await until("the upstream has the beginning", () => isBegun);
  request.destroy();
  await until("the upstream sees the cut", () => outcomes.length > 0);
  expect(outcomes).toEqual(["cut"]);
});

test("the slower side sets the pace, in both directions", async () => {
  const size = 24 * 1024 * 1024;
  let sent = 0;
  let isReading = false;
  await using egress = await openEgress(async (request, response) => {
    if (request.method === "POST") {
      await until("the test has looked", () => isReading, 20_000);
      let bytes = 0;
      for await (const chunk of request) bytes += (chunk as Buffer).length;
      response.end(String(bytes));
      return;
    }
    const piece = Buffer.alloc(64 * 1024);
    for (; sent < size; sent += piece.length) {
      if (!response.write(piece)) await once(response, "drain");
    }
    response.end();
  });
  const response = await open(egress);
  let before = -1;
  await until("the upstream is held up", async () => {
    const isStill = sent === before && sent > 0;
    before = sent;
    await new Promise((resolve) => setTimeout(resolve, 100));
    return isStill;
  });
  expect(sent).toBeLessThan(size / 2);
  let received = 0;
  for await (const chunk of response) received += (chunk as Buffer).length;
  expect(received).toBe(size);

  const request = await begin(egress, { method: "POST", headers: { "content-length": String(size) } });
  const answered = once(request, "response");
  let written = 0;
  const piece = Buffer.alloc(64 * 1024);
  const sending = (async () => {
    for (; written < size; written += piece.length) {
      if (!request.write(piece)) await once(request, "drain");
    }
    request.end();
  })();
  before = -1;
  await until("the child is held up", async () => {
    const isStill = written === before && written > 0;
    before = written;
    await new Promise((resolve) => setTimeout(resolve, 100));
    return isStill;
  });
  expect(written).toBeLessThan(size / 2);
  isReading = true;
  await sending;
  const [answer] = await answered;
  expect(await text(answer)).toBe(String(size));
});

test("a child that is denied while it still sends a large body reads why, and its connection serves on", async () => {
  await using egress = await openEgress((request, response) => response.end(request.url));
  const socket = connect(egress.broker.socketPath);
  const body = Buffer.alloc(4 * 1024 * 1024);
  socket.write(`POST / HTTP/1.1\r\nHost: evil.test\r\nContent-Length: ${body.length}\r\n\r\n`);
  await once(socket.resume(), "data");
  await new Promise((resolve) => socket.write(body, resolve));
  socket.write(`GET /next HTTP/1.1\r\nHost: ${github}\r\nConnection: close\r\n\r\n`);
  expect(await text(socket)).toMatch(/^HTTP\/1\.1 200 [^]*\/next/);
  expect(egress.decisions).toMatchObject([
    { host: "evil.test", reason: "hostNotAllowed" },
    { host: github, status: 200 },
  ]);
});

test("an answer that comes before the body is sent reaches the child", async () => {
  await using egress = await openEgress((_, response) => {
    response.writeHead(413, { connection: "close" }).end("too much");
  });
  const request = await begin(egress, { method: "POST", headers: { "transfer-encoding": "chunked" } });
  request.on("error", () => {});
  request.write(kilobyte);
  const [response] = await once(request, "response");
  expect(response.statusCode).toBe(413);
  expect(await text(response)).toBe("too much");
  request.destroy();
});

test("EGR-8: when the broker is disposed of, every connection ends at once, and nothing gets out any more", async () => {
  const egress = await openEgress((_, response) => {
    response.write("data: 1\n\n");
  });
  const { socketPath } = egress.broker;
  expect((await stat(socketPath)).mode & 0o777).toBe(0o600);
  const idle = connect(socketPath);
  const tunnel = await openTunnel(egress, `${github}:443`);
  const streams = await Promise.all(ways.map((way) => open(egress, { way })));
  const ends = [
    once(idle.resume(), "close"),
    once(tunnel.resume(), "close"),
    ...streams.map((stream) => text(stream).catch(() => "cut")),
  ];
  await egress[Symbol.asyncDispose]();
  const outcomes = await Promise.all(ends);
  expect(outcomes.slice(2)).toEqual(["cut", "cut", "cut"]);
  await expect(ask(egress)).rejects.toThrow(/ENOENT|ECONNREFUSED/);
  await expect(access(socketPath)).rejects.toThrow("ENOENT");
  expect(reasonsOf(egress)).toEqual(["aborted", "aborted", "aborted"]);
});

test("the key is in no error, log or record, whatever goes wrong", async () => {
  let mode = 0;
  await using egress = await openEgress((request, response) => {
    request.resume();
    if (mode === 0) request.socket.destroy();
    if (mode === 1)
      request.socket.end(`HTTP/1.1 200 OK\r\nX: ${String(request.headers.authorization)}\0\r\n\r\n`);
    if (mode === 2)
      response.writeHead(200, { "content-length": 99 }).write(String(request.headers.authorization));
    if (mode === 2) setImmediate(() => request.socket.destroy());
  }, {});
  for (mode = 0; mode < 3; mode++) {
    const outcome = await ask(egress).catch((error: Error) => error.message);
    expect(JSON.stringify(outcome)).not.toContain(canary);
  }
  const told = egress.errors.map(
    (error) => `${String(error)} ${JSON.stringify(error, Object.getOwnPropertyNames(error))}`,
  );
  expect(told.length).toBeGreaterThan(0);
  expect(JSON.stringify([told, egress.decisions])).not.toContain(canary);
});
