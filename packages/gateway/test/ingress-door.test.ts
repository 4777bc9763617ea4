import { expect, test } from "vitest";
import {
  type Asked,
  ask,
  damagedToken,
  dashboard,
  host,
  type House,
  open,
  openHouse,
  otherToken,
  ping,
  sendRaw,
  token,
} from "./harness.ts";
import { until } from "./until.ts";

/** Attack: find an endpoint, a token, or a way past the door, without holding the instance's own token. */

/** A house whose child must never be reached. */
function openLockedHouse(options: Parameters<typeof openHouse>[1] = {}): Promise<House> {
  return openHouse(() => {
    throw new Error("the child was reached");
  }, options);
}

const open200 = () => openHouse((_, response) => response.end("{}"));

test("a foreign Host is a 403, a repeated one a 400, and none is no request at all", async () => {
  await using house = await openLockedHouse();
  for (const foreign of ["evil.test", "gateway.test", "gateway.test:5001.evil.test", `${host}@evil.test`]) {
    const answer = await ask(house, { headers: { host: foreign } });
    expect(answer).toMatchObject({ status: 403, problem: { reason: "hostNotAllowed" } });
  }
  expect(
    await sendRaw(
      house,
      `GET /healthz HTTP/1.1\r\nHost: ${host}\r\nHost: evil.test\r\nConnection: close\r\n\r\n`,
    ),
  ).toMatch(/^HTTP\/1.1 400 .*"reason":"hostRepeated"/s);
  expect(await sendRaw(house, "GET /healthz HTTP/1.1\r\n\r\n")).toMatch(/^HTTP\/1.1 400 /);
  expect(await sendRaw(house, "GET /healthz HTTP/1.0\r\n\r\n")).toMatch(/^HTTP\/1.1 403 /);
});

test("a foreign Origin is a 403 without CORS headers; none, or an allowed one, passes", async () => {
  await using house = await open200();
  for (const origin of ["https://evil.test", "null", `${dashboard}.evil.test`, ""]) {
    const answer = await ask(house, { headers: { origin } });
    expect(answer).toMatchObject({ status: 403, problem: { reason: "originNotAllowed" } });
    expect(answer.headers).not.toHaveProperty("access-control-allow-origin");
  }
  const plain = await ask(house);
  expect(plain.status).toBe(200);
  expect(plain.headers).not.toHaveProperty("access-control-allow-origin");
  const allowed = await ask(house, { headers: { origin: dashboard } });
  expect(allowed.status).toBe(200);
  expect(allowed.headers).toMatchObject({ "access-control-allow-origin": dashboard, vary: "Origin" });
  const refused = await ask(house, { headers: { origin: dashboard, authorization: "Bearer no" } });
  expect(refused.headers["access-control-allow-origin"]).toBe(dashboard);
});

test("a preflight is answered for an allowed origin only", async () => {
  await using house = await openLockedHouse();
  const preflight: Asked = { method: "OPTIONS" };
  const asked = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,mcp-param-x",
  };
  const allowed = await ask(house, { ...preflight, headers: { ...asked, origin: dashboard } });
  expect(allowed.status).toBe(204);
  expect(allowed.headers).toMatchObject({
    "access-control-allow-origin": dashboard,
    "access-control-allow-methods": "POST, GET, DELETE",
    "access-control-allow-headers": "authorization,mcp-param-x",
  });
  expect(
    (await ask(house, { ...preflight, headers: { ...asked, origin: "https://evil.test" } })).status,
  ).toBe(403);
  expect((await ask(house, { ...preflight, headers: asked })).status).toBe(405);
});

test("health answers while alive, readiness as the worker says, and anything else is a small 404", async () => {
  let isReady = false;
  await using house = await openLockedHouse({ ready: () => isReady });
  expect(await ask(house, { method: "GET", path: "/healthz" })).toMatchObject({ status: 200, text: "ok\n" });
  expect(await ask(house, { method: "GET", path: "/readyz" })).toMatchObject({ status: 503 });
  isReady = true;
  expect(await ask(house, { method: "GET", path: "/readyz" })).toMatchObject({ status: 200, text: "ok\n" });
  expect(await ask(house, { method: "POST", path: "/healthz" })).toMatchObject({ status: 405 });
  const strange = [
    "/",
    "/mcp",
    "/mcp/",
    "/mcp/one/",
    "/mcp/..%2fone",
    "/mcp/one%00",
    `/mcp/${"x".repeat(65)}`,
    "/metrics",
  ];
  for (const path of [...strange, "http://gateway.test:5001/mcp/one", "*"]) {
    const answer = await ask(house, { method: path === "*" ? "OPTIONS" : "GET", path });
    expect({ path, ...answer }).toMatchObject({
      path,
      status: 404,
      problem: { reason: "notFound" },
    });
    expect(answer.headers).toMatchObject({
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
    });
  }
});

test("a method that MCP does not use is a 405 with Allow", async () => {
  await using house = await openLockedHouse();
  for (const method of ["PUT", "PATCH", "HEAD", "TRACE"]) {
    const answer = await ask(house, { method });
    expect(answer.status).toBe(405);
    expect(answer.headers.allow).toBe("POST, GET, DELETE");
  }
});

test("nothing tells a damaged, an invented, a foreign or a malformed token from each other", async () => {
  await using house = await openLockedHouse();
  const attempts: Asked[] = [
    { headers: { authorization: `Bearer ${damagedToken}` } },
    { headers: { authorization: `Bearer ${otherToken}` } },
    { path: "/mcp/two" },
    { path: "/mcp/two", headers: { authorization: `Bearer ${damagedToken}` } },
    { headers: { authorization: `Basic ${Buffer.from(`x:${token}`).toString("base64")}` } },
    { headers: { authorization: token } },
    { headers: { authorization: `Bearer ${token} ${token}` } },
    { headers: { authorization: "Bearer" } },
    { headers: { authorization: "" } },
    { headers: { authorization: [`Bearer ${token}`, `Bearer ${token}`] } },
  ];
  const answers = await Promise.all(
    attempts.map(async (attempt) => {
      const answer = await ask(house, attempt);
      const { date: _, ...headers } = answer.headers;
      return { ...answer, headers };
    }),
  );
  expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
  expect(answers[0]).toMatchObject({
    status: 401,
    problem: { type: "about:blank", title: "Unauthorized", status: 401, reason: "unknown" },
  });
  expect(answers[0]?.headers["www-authenticate"]).toMatch(
    /^Bearer realm="MiniMCP", error="invalid_token", error_description="[^"\\]+"$/,
  );
  expect(answers[0]?.headers["content-type"]).toBe("application/problem+json");
  // Nobody can be charged for these, and they must not fill anyone's memory.
  expect(house.calls).toEqual([]);
});

test("a request without credentials gets a challenge without an error (RFC 6750 section 3.1)", async () => {
  await using house = await openLockedHouse();
  const bare = `GET /mcp/one HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
  const answer = await sendRaw(house, bare);
  expect(answer).toMatch(/^HTTP\/1.1 401 /);
  expect(answer).toContain('WWW-Authenticate: Bearer realm="MiniMCP"\r\n');
  expect(answer).not.toContain("resource_metadata");
});

test("a token in the URL is a 401 even when it is right, and is repeated nowhere", async () => {
  await using house = await openLockedHouse();
  for (const query of [
    `access_token=${token}`,
    `token=${token}`,
    `Access_Token=x`,
    `key=${token}`,
    `%74oken=${token}`,
  ]) {
    const answer = await ask(house, { path: `/mcp/one?${query}` });
    expect(answer).toMatchObject({ status: 401, problem: { reason: "tokenInQuery" } });
    expect(JSON.stringify(answer)).not.toContain(token);
  }
  expect(JSON.stringify([house.calls, house.errors])).not.toContain(token);
});

test("the scheme's name may be written in any case", async () => {
  await using house = await open200();
  expect((await ask(house, { headers: { authorization: `bEARER ${token}` } })).status).toBe(200);
});

test("the holder of a token that was valid once is told why, when, and where to go", async () => {
  const at = new Date("2026-01-02T03:04:05.678Z");
  await using house = await openLockedHouse({
    verdict: () => ({ kind: "refused", reason: "expired", at }),
  });
  const answer = await ask(house);
  expect(answer).toMatchObject({
    status: 401,
    problem: { reason: "expired", at: "2026-01-02T03:04:05.678Z" },
  });
  expect(answer.problem["detail"]).toContain("2026-01-02T03:04:05.678Z");
  expect(answer.headers["www-authenticate"]).toMatch(
    /error="invalid_token", error_description="The instance has expired/,
  );
  await until("the denial is counted", () => house.calls.length === 1);
  expect(house.calls[0]).toMatchObject({ instanceId: "one", outcome: "denied", status: 401, method: null });
});

test("the verdict `unknown` says nothing more, whatever came with it", async () => {
  await using house = await openLockedHouse({
    verdict: () => ({ kind: "refused", reason: "unknown", at: new Date() }),
  });
  const { problem } = await ask(house);
  expect(Object.keys(problem).toSorted()).toEqual(["detail", "reason", "status", "title", "type"]);
});

test("a verdict that is unavailable, fails or never comes is a 503 with Retry-After, never an admission", async () => {
  await using busy = await openLockedHouse({
    verdict: () => ({ kind: "unavailable", retryAfterSeconds: 2.5, reason: "placing" }),
  });
  const answer = await ask(busy);
  expect(answer).toMatchObject({ status: 503, problem: { reason: "placing" } });
  expect(answer.headers["retry-after"]).toBe("3");
  await until("the call is over", () => busy.ingress.active() === 0);
  // Nobody has said whose token it was: strangers must not fill an instance's counters.
  expect(busy.calls).toEqual([]);

  await using broken = await openLockedHouse({
    authorize: () => Promise.reject(new Error("connect /run/postgres ECONNREFUSED")),
  });
  const failed = await ask(broken);
  expect(failed).toMatchObject({ status: 503, problem: { reason: "verdictMissing" } });
  expect(failed.text).not.toContain("postgres");
  expect(broken.errors.map(String)).toEqual(["Error: connect /run/postgres ECONNREFUSED"]);

  await using silent = await openLockedHouse({
    authorize: () => new Promise(() => {}),
    limits: { authorizeWaitMs: 50 },
  });
  expect(await ask(silent)).toMatchObject({ status: 503, problem: { reason: "verdictMissing" } });
});

test("a verdict about another instance admits nobody", async () => {
  await using house = await openLockedHouse({ target: { instanceId: "two" } });
  expect(await ask(house)).toMatchObject({ status: 500, problem: { reason: "internal" } });
});

test("what is thrown inside the gateway is a 500 without details", async () => {
  await using house = await openLockedHouse({
    digestToken: () => {
      throw new Error("at /srv/minimcp/token.ts");
    },
  });
  const answer = await ask(house);
  expect(answer).toMatchObject({ status: 500, problem: { reason: "internal" } });
  expect(answer.text).not.toContain("/srv");
});

test("a body over the limit is a 413 that names the limit, announced or not, and others go on", async () => {
  await using house = await open200();
  const big = Buffer.alloc(10 * 1024 * 1024, " ");
  const announced = await ask(house, { body: big });
  expect(announced).toMatchObject({ status: 413, problem: { reason: "requestTooLarge" } });
  expect(announced.problem["detail"]).toContain("4194304");
  const counted = await ask(house, {
    method: "POST",
    body: big,
    headers: { "transfer-encoding": "chunked", "content-length": [] },
  });
  expect(counted.status).toBe(413);
  expect((await ask(house)).status).toBe(200);
});

test("a body that is no single JSON-RPC message in UTF-8 is refused as JSON-RPC says", async () => {
  await using house = await openLockedHouse();
  for (const body of ["", "{", "\uFEFF{}", Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])]) {
    const answer = await ask(house, { body });
    expect(answer).toMatchObject({
      status: 400,
      problem: { jsonrpc: "2.0", id: null, error: { code: -32700 } },
    });
  }
  for (const body of [`[${ping}]`, "[]", "1", "null", '"ping"']) {
    const answer = await ask(house, { body });
    expect(answer).toMatchObject({ status: 400, problem: { id: null, error: { code: -32600 } } });
  }
  expect((await ask(house, { body: "[".repeat(1_000_000) })).status).toBe(400);
});

test("a body of another type, or a compressed one, is a 415", async () => {
  await using house = await openLockedHouse();
  for (const headers of [
    { "content-type": "text/plain" },
    { "content-type": "application/jsonp" },
    { "content-encoding": "gzip" },
  ]) {
    expect(await ask(house, { headers })).toMatchObject({ status: 415, problem: { reason: "mediaType" } });
  }
});

test("headers of 1 MB are a 431, and others go on", async () => {
  await using house = await open200();
  const answer = await sendRaw(
    house,
    `GET /mcp/one HTTP/1.1\r\nHost: ${host}\r\nX-Big: ${"x".repeat(1024 * 1024)}`,
  );
  expect(answer).toMatch(/^HTTP\/1.1 431 .*"reason":"headersTooLarge"/s);
  expect((await ask(house)).status).toBe(200);
});

test("a request that dribbles in is a 408, in its headers and in its body, and others go on", async () => {
  await using house = await openHouse((_, response) => response.end("{}"), {
    limits: { headersTimeoutMs: 100, requestTimeoutMs: 200 },
  });
  const head = `POST /mcp/one HTTP/1.1\r\nHost: ${host}\r\n`;
  const [inHeaders, inBody, other] = await Promise.all([
    sendRaw(house, head),
    sendRaw(
      house,
      `${head}Authorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{`,
    ),
    ask(house),
  ]);
  expect(inHeaders).toMatch(/^HTTP\/1.1 408 .*"reason":"requestTimeout"/s);
  expect(inBody).toMatch(/^HTTP\/1.1 408 /);
  expect(other.status).toBe(200);
  await until("both calls are over", () => house.ingress.active() === 0);
});

test("a request that could be read in two ways is a 400 and ends the connection", async () => {
  await using house = await openLockedHouse();
  const head = `POST /mcp/one HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\n`;
  const smuggled = "GET /mcp/two HTTP/1.1\r\n\r\n";
  const attempts = {
    "both lengths": `${head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    "both lengths, reversed": `${head}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n${smuggled}`,
    "two lengths": `${head}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`,
    "unknown coding": `${head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`,
    "chunked not last": `${head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
    "space before colon": `${head}Content-Length : 2\r\n\r\n{}`,
    "folded header": `${head}X-A: 1\r\n folded\r\nContent-Length: 2\r\n\r\n{}`,
    "bare line feed": `${head}X-A: 1\nX-B: 2\r\nContent-Length: 2\r\n\r\n{}`,
    "bare carriage return": `${head}X-A: 1\rX-B: 2\r\nContent-Length: 2\r\n\r\n{}`,
    "zero byte": `${head}X-A: 1\0\r\nContent-Length: 2\r\n\r\n{}`,
    "bad chunk size": `${head}Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n`,
    "no HTTP": "hello\r\n\r\n",
  };
  for (const [name, bytes] of Object.entries(attempts)) {
    const answer = await sendRaw(house, bytes);
    const statusLines = answer.match(/^HTTP.*$/gm);
    expect([name, statusLines]).toEqual([name, ["HTTP/1.1 400 Bad Request"]]);
  }
});

test("bytes sent into an open stream never become part of it", async () => {
  await using house = await openHouse((_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: 1\n\n");
  });
  const request = `GET /mcp/one HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${token}\r\n\r\n`;
  for (const further of ["garbage\r\n\r\n", request, `GET /mcp/one HTTP/1.1\r\nHost: evil.test\r\n\r\n`]) {
    const received = await sendRaw(house, request, further);
    expect(received.match(/^HTTP.*$/gm)).toEqual(["HTTP/1.1 200 OK"]);
    await until("no call is left", () => house.ingress.active() === 0);
  }
});

test("an upgrade and a CONNECT are not served", async () => {
  await using house = await openHouse((request, response) => response.end(JSON.stringify(request.headers)));
  expect(await sendRaw(house, `CONNECT evil.test:443 HTTP/1.1\r\nHost: ${host}\r\n\r\n`)).toBe("");
  const answer = await ask(house, {
    method: "GET",
    headers: { connection: "upgrade", upgrade: "websocket" },
  });
  expect(answer.status).toBe(200);
  expect(answer.text).not.toContain("websocket");
});

test("a client that expects 100-continue is served", async () => {
  await using house = await open200();
  const response = await open(house, { headers: { expect: "100-continue" } });
  expect(response.resume().statusCode).toBe(200);
});

test("what a child sends beyond its answer never reaches the next call", async () => {
  await using house = await openHouse((request) => {
    request.resume();
    request.socket.write(
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstale",
    );
  });
  for (let i = 0; i < 3; i += 1) {
    const answer = await ask(house).catch((error: unknown) => String(error));
    expect(JSON.stringify(answer)).not.toContain("stale");
  }
});
