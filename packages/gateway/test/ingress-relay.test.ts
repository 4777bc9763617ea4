import { createHash, randomBytes } from "node:crypto";
import { text } from "node:stream/consumers";

import { expect, test } from "vitest";

import { ask, chunksOf, host, open, openHouse, ping, token } from "./harness.ts";
import { until } from "./until.ts";

function handleCount(): number {
  return process.getActiveResourcesInfo().filter((kind) => /Socket|Pipe|Server/.test(kind)).length;
}

test("the child gets the client's own bytes, method and MCP headers at /mcp", async () => {
  await using house = await openHouse(async (request, response) => {
    const body = await text(request);
    response.end(
      JSON.stringify({ url: request.url, method: request.method, headers: request.headers, body }),
    );
  });
  const body =
    '{ "method":"tools/call",\n "params":{"name":"echo","__proto__":{"admin":true}}, "id":7,"jsonrpc":"2.0" }';
  const answer = await ask(house, {
    path: "/mcp/one?profile=x",
    body,
    headers: {
      "mcp-protocol-version": "2026-07-28",
      "mcp-method": "tools/call",
      "mcp-param-unknown": "kept",
      "last-event-id": "42",
      traceparent: "00-1-2-01",
      accept: "application/json, text/event-stream",
    },
  });
  const seen = JSON.parse(answer.text);
  expect(seen).toMatchObject({ url: "/mcp", method: "POST", body });
  expect(seen.headers).toMatchObject({
    host: "localhost",
    "content-type": "application/json",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "mcp-param-unknown": "kept",
    "last-event-id": "42",
    traceparent: "00-1-2-01",
    accept: "application/json, text/event-stream",
  });
  expect(({} as { admin?: boolean }).admin).toBeUndefined();
});

test("the child sees no credential, no cookie, no address of the client and no hop-by-hop header", async () => {
  await using house = await openHouse((request, response) =>
    response.end(JSON.stringify(request.rawHeaders)),
  );
  const answer = await ask(house, {
    headers: {
      connection: "keep-alive, x-hop",
      "x-hop": "1",
      te: "trailers",
      cookie: "a=b",
      "proxy-authorization": "Basic x",
      "x-forwarded-for": "10.0.0.1",
      "x-real-ip": "10.0.0.1",
      forwarded: "for=10.0.0.1",
      origin: "http://127.0.0.1:3000",
      referer: "http://127.0.0.1:3000/x",
      "x-api-key": token,
      "x-refresh": `mrt_${"a".repeat(49)}`,
      "accept-encoding": "gzip",
    },
  });
  const raw: string[] = JSON.parse(answer.text);
  const names = raw.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
  expect(names.toSorted()).toEqual(["connection", "content-length", "content-type", "host"]);
  expect(answer.text).not.toMatch(/mcp_|mrt_|10\.0\.0\.1/);
});

test("the client gets status, headers and bytes of the child, without what would speak for the whole origin", async () => {
  await using house = await openHouse((_, response) => {
    response.writeHead(404, [
      ["Content-Type", "application/json"],
      ["Mcp-Session-Id", "s1"],
      ["X-Twice", "1"],
      ["X-Twice", "2"],
      ["Set-Cookie", "a=b"],
      ["Access-Control-Allow-Origin", "*"],
      ["Alt-Svc", 'h2=":1"'],
      ["NEL", '{"report_to":"g","max_age":9}'],
      ["Report-To", '{"group":"g","max_age":9,"endpoints":[{"url":"https://a.test/"}]}'],
      ["Accept-CH", "Sec-CH-UA-Model"],
      ["Use-As-Dictionary", 'match="/mcp/*"'],
      ["Connection", "x-hop"],
      ["X-Hop", "1"],
    ]);
    response.end('{"é":1}');
  });
  const answer = await ask(house);
  expect(answer.status).toBe(404);
  expect(answer.text).toBe('{"é":1}');
  expect(answer.headers).toMatchObject({ "mcp-session-id": "s1", "x-twice": "1, 2" });
  const dropped =
    "set-cookie access-control-allow-origin alt-svc nel report-to accept-ch use-as-dictionary x-hop";
  for (const name of dropped.split(" ")) expect(answer.headers).not.toHaveProperty(name);
});

test("GET and DELETE are relayed", async () => {
  await using house = await openHouse((request, response) => response.end(request.method));
  expect((await ask(house, { method: "GET" })).text).toBe("GET");
  expect((await ask(house, { method: "DELETE" })).text).toBe("DELETE");
});

test("an event arrives before the next one is sent", async () => {
  const { promise: received, resolve: release } = Promise.withResolvers<void>();
  await using house = await openHouse(async (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.flushHeaders();
    response.write("data: 1\n\n");
    await received;
    response.end("data: 2\n\n");
  });
  const response = await open(house);
  expect(response.headers["x-accel-buffering"]).toBe("no");
  expect(response.headers["content-encoding"]).toBeUndefined();
  const events: string[] = [];
  for await (const chunk of chunksOf(response)) {
    events.push(chunk.toString());
    release();
  }
  expect(events).toEqual(["data: 1\n\n", "data: 2\n\n"]);
});

test("the head of a silent event stream arrives at once", async () => {
  await using house = await openHouse((_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.flushHeaders();
  });
  const response = await open(house, { method: "GET" });
  expect(response.statusCode).toBe(200);
  response.destroy();
  await until("the call has ended", () => house.ingress.active() === 0);
});

test("a stream of 64 MiB to a slow reader arrives whole and is never held in memory", async () => {
  const chunk = randomBytes(64 * 1024);
  const chunkCount = 1024;
  let sentBytes = 0;
  await using house = await openHouse(async (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (let i = 0; i < chunkCount; i += 1) {
      sentBytes += chunk.length;
      if (!response.write(chunk)) await new Promise((resolve) => response.once("drain", resolve));
    }
    response.end();
  });
  const response = await open(house);
  const hash = createHash("sha256");
  let receivedBytes = 0;
  let heldBytes = 0;
  for await (const part of chunksOf(response)) {
    receivedBytes += part.length;
    hash.update(part);
    heldBytes = Math.max(heldBytes, sentBytes - receivedBytes);
    // Every other turn of the loop belongs to the child, so that it would run ahead if it could.
    await new Promise((resolve) => setImmediate(resolve));
  }
  const expected = createHash("sha256");
  for (let i = 0; i < chunkCount; i += 1) expected.update(chunk);
  expect(receivedBytes).toBe(chunk.length * chunkCount);
  expect(hash.digest("hex")).toBe(expected.digest("hex"));
  // What the buffers of two sockets and four streams hold, and nothing near the 64 MiB.
  expect(heldBytes).toBeLessThan(12 * 1024 * 1024);
});

test("a client that stops reading stops the child", async () => {
  let sentBytes = 0;
  await using house = await openHouse((_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const push = () => {
      do sentBytes += 65_536;
      while (sentBytes < 256 * 1024 * 1024 && response.write(Buffer.alloc(65_536)));
    };
    response.on("drain", push);
    push();
  });
  const response = await open(house);
  response.pause();
  let last = -1;
  let unchanged = 0;
  await until("the child stands still", () => {
    unchanged = sentBytes === last ? unchanged + 1 : 0;
    last = sentBytes;
    return unchanged > 40;
  });
  expect(sentBytes).toBeLessThan(32 * 1024 * 1024);
  response.destroy();
});

test("a hundred calls at once get their own answers, in one connection each", async () => {
  await using house = await openHouse(async (request, response) => {
    const { id } = JSON.parse(await text(request));
    response.end(JSON.stringify({ id }));
  });
  const ids = Array.from({ length: 100 }, (_, id) => id);
  const answers = await Promise.all(
    ids.map((id) => ask(house, { body: JSON.stringify({ jsonrpc: "2.0", id, method: "ping" }) })),
  );
  expect(answers.map((answer) => JSON.parse(answer.text).id)).toEqual(ids);
  await until("all calls are counted", () => house.calls.length === 100);
});

test("a client that closes its stream ends the child's work", async () => {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  await using house = await openHouse((request, response) => {
    request.resume();
    response.once("close", resolve);
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: 1\n\n");
  });
  const response = await open(house);
  response.destroy();
  await ended;
  await until("the call is counted", () => house.calls.length === 1);
  expect(house.calls[0]).toMatchObject({ outcome: "aborted", status: 200, responseBytes: 9 });
});

test("a client that leaves before the answer ends the child's work", async () => {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const client = new AbortController();
  await using house = await openHouse((request, response) => {
    request.resume();
    response.once("close", resolve);
    client.abort();
  });
  await expect(open(house, { signal: client.signal })).rejects.toThrow("aborted");
  await ended;
  await until("the call is counted", () => house.calls.length === 1);
  expect(house.calls[0]).toMatchObject({ outcome: "aborted", status: 499 });
  expect(house.errors).toEqual([]);
});

test("the end of the lease cuts open streams at once and later calls get the verdict", async () => {
  let verdict: "admitted" | "revoked" = "admitted";
  const childSaw: string[] = [];
  await using house = await openHouse(
    (request, response) => {
      request.resume();
      response.once("close", () => childSaw.push("close"));
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: 1\n\n");
    },
    {
      authorize: async () =>
        verdict === "revoked"
          ? { kind: "refused", reason: "revoked" }
          : {
              kind: "admitted",
              target: { instanceId: "one", socket: async () => house.socketPath, ended: house.lease.signal },
            },
    },
  );
  const streams = await Promise.all(Array.from({ length: 20 }, () => open(house)));
  const cut = Promise.all(
    streams.map(async (stream) => {
      await expect(stream.resume().toArray()).rejects.toThrow("aborted");
    }),
  );
  verdict = "revoked";
  house.lease.abort();
  await cut;
  await until("the child's streams are closed", () => childSaw.length === 20);
  expect(await ask(house)).toMatchObject({ status: 401, problem: { reason: "revoked" } });
  await until("the calls are counted", () => house.calls.length === 21);
  expect(house.calls.filter((call) => call.outcome === "failed")).toHaveLength(20);
});

test("a call that waits for its answer when the lease ends is told so", async () => {
  await using house = await openHouse(() => house.lease.abort());
  const answer = await ask(house);
  expect(answer).toMatchObject({ status: 503, problem: { reason: "ended" } });
  expect(answer.headers["retry-after"]).toBe("1");
  // Nothing reaches the child any more, whatever the verdict still says.
  expect(await ask(house)).toMatchObject({ status: 503, problem: { reason: "ended" } });
});

test("a call waits while its instance starts", async () => {
  const { promise: started, resolve: start } = Promise.withResolvers<void>();
  await using house = await openHouse((_, response) => response.end("{}"), {
    target: {
      socket: async () => {
        await started;
        return house.socketPath;
      },
    },
  });
  const answer = ask(house);
  await until("the call waits", () => house.ingress.active() === 1);
  start();
  expect((await answer).status).toBe(200);
});

test("an instance that does not start in time is a 503 with Retry-After, and the wait is called off", async () => {
  let calledOff = false;
  await using house = await openHouse((_, response) => response.end("{}"), {
    limits: { startWaitMs: 50 },
    target: {
      socket: (signal) =>
        new Promise(() => {
          signal.addEventListener("abort", () => (calledOff = true));
        }),
    },
  });
  const answer = await ask(house);
  expect(answer).toMatchObject({ status: 503, problem: { reason: "starting" } });
  expect(Number(answer.headers["retry-after"])).toBeGreaterThan(0);
  expect(calledOff).toBe(true);
});

test("a child that cannot be reached or goes away is a 502 that names no path", async () => {
  await using gone = await openHouse(() => {}, {
    target: { socket: async () => "/tmp/secret-place/none.sock" },
  });
  const unreachable = await ask(gone);
  expect(unreachable).toMatchObject({ status: 502, problem: { reason: "unreachable" } });
  expect(unreachable.text).not.toMatch(/sock|tmp|ENOENT/);
  expect(String(gone.errors[0])).toContain("ENOENT");

  await using failed = await openHouse(() => {}, {
    target: { socket: () => Promise.reject(new Error("spawn /secret EACCES")) },
  });
  const failedStart = await ask(failed);
  expect(failedStart).toMatchObject({ status: 502, problem: { reason: "unreachable" } });
  expect(failedStart.text).not.toContain("secret");

  await using resets = await openHouse((request) => request.socket.destroy());
  expect(await ask(resets)).toMatchObject({ status: 502, problem: { reason: "connectionLost" } });
});

test("half an answer never looks like a whole one", async () => {
  await using house = await openHouse((request, response) => {
    request.resume();
    response.writeHead(200, { "content-type": "application/json" });
    response.write('{"jsonrpc":"2.0"', () => response.destroy());
  });
  await expect(ask(house)).rejects.toThrow("aborted");
  await until("the call is counted", () => house.calls.length === 1);
  expect(house.calls[0]?.outcome).toBe("failed");
});

test("a child that does not answer in time is a 504, and an open stream is not", async () => {
  await using house = await openHouse(
    (request, response) => {
      if (request.method !== "GET") return;
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.flushHeaders();
      setTimeout(() => response.end("data: late\n\n"), 200);
    },
    { limits: { responseTimeoutMs: 100 } },
  );
  const [silent, stream] = await Promise.all([ask(house), ask(house, { method: "GET" })]);
  expect(silent).toMatchObject({ status: 504, problem: { reason: "responseTimeout" } });
  expect(stream.text).toBe("data: late\n\n");
});

test("a redirect or a demand for credentials by the child does not reach the client", async () => {
  await using house = await openHouse((request, response) => {
    const status = Number(request.headers["x-status"]);
    response.writeHead(status, {
      location: "https://evil.test/?stolen",
      "www-authenticate": 'Bearer resource_metadata="https://evil.test"',
    });
    response.end();
  });
  for (const status of ["302", "307", "401", "407"]) {
    const answer = await ask(house, { headers: { "x-status": status } });
    expect(answer).toMatchObject({ status: 502, problem: { reason: "responseInvalid" } });
    expect(JSON.stringify(answer)).not.toContain("evil");
  }
  const forbidden = await ask(house, { headers: { "x-status": "403" } });
  expect(forbidden.status).toBe(403);
  expect(forbidden.headers).not.toHaveProperty("www-authenticate");
});

test("an answer over the limit is a named error, or is cut when it has begun; a stream has no such limit", async () => {
  await using house = await openHouse(
    (request, response) => {
      const big = Buffer.alloc(4096);
      const kind = request.headers["x-kind"];
      if (kind === "announced") response.writeHead(200, { "content-length": big.length }).end(big);
      else if (kind === "stream") response.writeHead(200, { "content-type": "text/event-stream" }).end(big);
      else response.writeHead(200).write(big.subarray(0, 10), () => response.end(big));
    },
    { limits: { responseBodyBytes: 1024 } },
  );
  expect(await ask(house, { headers: { "x-kind": "announced" } })).toMatchObject({
    status: 502,
    problem: { reason: "responseTooLarge" },
  });
  await expect(ask(house, { headers: { "x-kind": "counted" } })).rejects.toThrow(/aborted|hang up/);
  expect((await ask(house, { headers: { "x-kind": "stream" } })).text).toHaveLength(4096);
});

test("a call is counted once, with its method, tool and bytes", async () => {
  await using house = await openHouse(async (request, response) => {
    await text(request);
    response.end("0123456789");
  });
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "echo" } });
  await ask(house, { body });
  await ask(house, { body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "m".repeat(300) }) });
  await ask(house, { body: JSON.stringify({ jsonrpc: "2.0", id: 1, result: {} }) });
  await until("the calls are counted", () => house.calls.length === 3);
  expect(house.calls[0]).toMatchObject({
    instanceId: "one",
    httpMethod: "POST",
    method: "tools/call",
    tool: "echo",
    status: 200,
    requestBytes: Buffer.byteLength(body),
    responseBytes: 10,
    outcome: "ok",
  });
  expect(house.calls[0]?.durationMs).toBeGreaterThan(0);
  expect(house.calls.slice(1).map((call) => call.method)).toEqual([null, null]);
});

test("connections to the child are kept and used again", async () => {
  const connections = new Set<unknown>();
  await using house = await openHouse((request, response) => {
    connections.add(request.socket);
    request.resume();
    response.end("{}");
  });
  for (let i = 0; i < 5; i += 1) await ask(house);
  expect(connections.size).toBe(1);
});

test("a child that was started again at another path is used from the next call on", async () => {
  await using second = await openHouse((_, response) => response.end("second"));
  let path = "";
  await using first = await openHouse((_, response) => response.end("first"), {
    target: { socket: async () => path },
  });
  path = first.socketPath;
  expect((await ask(first)).text).toBe("first");
  path = second.socketPath;
  expect((await ask(first)).text).toBe("second");
});

test("close() lets open calls finish, refuses new ones, and leaves nothing behind", async () => {
  const before = handleCount();
  const { promise: answering, resolve: answerNow } = Promise.withResolvers<void>();
  {
    await using house = await openHouse(async (_, response) => {
      await answering;
      response.end("whole");
    });
    const whole = ask(house);
    await until("the call is open", () => house.ingress.active() === 1);
    const closed = house.ingress.close();
    await expect(ask(house)).rejects.toThrow("ECONNREFUSED");
    answerNow();
    expect((await whole).text).toBe("whole");
    await closed;
    expect(house.ingress.active()).toBe(0);
  }
  await until("all handles are closed", () => handleCount() <= before);
});

test("close() cuts what is still open after the drain, or at once when told so", async () => {
  await using house = await openHouse(
    (_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: 1\n\n");
    },
    { limits: { drainMs: 50 } },
  );
  const stream = await open(house);
  const [cut] = await Promise.allSettled([stream.toArray(), house.ingress.close()]);
  expect(cut).toMatchObject({ status: "rejected", reason: { message: "aborted" } });
  expect(house.ingress.active()).toBe(0);
});

test("an idle kept-alive connection does not hold up close()", async () => {
  await using house = await openHouse((_, response) => response.end("{}"));
  const headers = { host, authorization: `Bearer ${token}`, "content-type": "application/json" };
  const answer = await ask(house, { headers: { ...headers, connection: "keep-alive" }, body: ping });
  expect(answer.status).toBe(200);
  const startedAt = performance.now();
  await house.ingress.close();
  expect(performance.now() - startedAt).toBeLessThan(2_000);
});
