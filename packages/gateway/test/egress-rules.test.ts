// The attack: a hostile MCP server sends whatever could be read in one way by the broker's rules and in another by
// whoever stands behind them.
import { once } from "node:events";
import { METHODS } from "node:http";
import { connect as connectTls } from "node:tls";

import { expect, test } from "vitest";

import { type EgressRule, openBroker } from "../src/index.ts";
import {
  ask,
  bearer,
  canary,
  everything,
  github,
  openEgress,
  openTunnel,
  other,
  sendRaw,
  ways,
} from "./egress-harness.ts";

const narrow: EgressRule[] = [
  { host: github, port: 443, methods: ["GET"], pathPrefixes: ["/repos", "/user"] },
  { host: github, port: 443, methods: ["POST"], pathPrefixes: ["/repos/acme/site/issues"] },
  { host: other, port: 8443, methods: ["GET"], pathPrefixes: ["/"] },
];

test("EGR-1: a declared host, port, method and path is served; anything else is denied, recorded, and says what is allowed", async () => {
  await using egress = await openEgress((request, response) => response.end(request.url), { rules: narrow });
  for (const path of [
    "/repos",
    "/repos/a",
    "/user?x=1",
    "/repos/a%2Fb",
    "/repos/100%25",
    "/repos//a",
    "/repos/a.b/..c",
  ]) {
    expect(await ask(egress, { path }), path).toMatchObject({ status: 200, text: path });
  }
  expect(await ask(egress, { host: `${github}:443`, path: "/user" })).toMatchObject({ status: 200 });
  expect(await ask(egress, { host: other, path: "/any" })).toMatchObject({ status: 200 });
  expect(await ask(egress, { method: "POST", path: "/repos/acme/site/issues", body: "{}" })).toMatchObject({
    status: 200,
  });

  const reached = egress.upstream.connections();
  const denied: [Parameters<typeof ask>[1], string][] = [
    [{ host: "evil.test" }, "hostNotAllowed"],
    [{ host: `x.${github}` }, "hostNotAllowed"],
    [{ host: `${github}.evil.test` }, "hostNotAllowed"],
    [{ host: `${github}:22`, path: "/repos" }, "portNotAllowed"],
    [{ host: `${github}:80`, path: "/repos" }, "portNotAllowed"],
    [{ host: `${other}:443` }, "portNotAllowed"],
    [{ method: "DELETE", path: "/repos" }, "methodNotAllowed"],
    [{ path: "/" }, "pathNotAllowed"],
    [{ path: "/reposX" }, "pathNotAllowed"],
    [{ path: "/REPOS" }, "pathNotAllowed"],
    [{ path: "/graphql?/repos" }, "pathNotAllowed"],
    [{ method: "POST", path: "/repos/acme/site", body: "" }, "pathNotAllowed"],
    [{ method: "POST", path: "/repos/acme/site/issuesX", body: "" }, "pathNotAllowed"],
    [{ path: "/user%2F..%2Fadmin" }, "targetAmbiguous"],
  ];
  for (const [asked, reason] of denied) {
    const answer = await ask(egress, asked);
    expect(answer, JSON.stringify(asked)).toMatchObject({
      status: 403,
      headers: { "x-minimcp-egress": "denied" },
    });
    expect(answer.reason, JSON.stringify(asked)).toBe(reason);
  }
  expect(egress.upstream.connections()).toBe(reached);
  expect(egress.decisions.filter(({ allowed }) => !allowed)).toHaveLength(denied.length);

  const { error } = JSON.parse((await ask(egress, { host: "evil.test" })).text);
  expect(error.code).toBe("egress.denied");
  expect(error.message).toContain(`GET https://${github}/repos`);
  expect(error.message).toContain("administrator");
});

test.for(ways)("EGR-1: a host that is not declared is denied in words by way of %s", async (way) => {
  await using egress = await openEgress((_, response) => response.end());
  const outcome = await ask(egress, { way, host: "evil.test" }).then(
    ({ text }) => text,
    (error: Error) => error.message,
  );
  expect(outcome).toContain("egress.denied");
  expect(egress.decisions).toMatchObject([
    { host: "evil.test", allowed: false, reason: "hostNotAllowed", status: 403 },
  ]);
  expect(egress.upstream.connections()).toBe(0);
});

test("EGR-7: CONNECT to an allowed host at port 22, to an address, or into another tunnel is denied", async () => {
  await using egress = await openEgress((_, response) => response.end());
  for (const to of [`${github}:22`, `${github}:80`, `${other}:8443`]) {
    await expect(openTunnel(egress, to), to).rejects.toThrow("403 denied");
  }
  for (const to of [
    "127.0.0.1:443",
    "[::1]:443",
    "[::ffff:127.0.0.1]:443",
    github,
    "localhost:443",
    "2130706433:443",
    "0x7f.1:443",
    `u@${github}:443`,
    `${github}.:443`,
  ]) {
    expect(await sendRaw(egress, `CONNECT ${to} HTTP/1.1\r\nHost: ${to}\r\n\r\n`), to).toMatch(/ 40[03] /);
  }
  expect(egress.upstream.connections()).toBe(0);
});

test("a tunnel inside a tunnel is denied, and a child that resets it breaks nothing", async () => {
  await using egress = await openEgress((_, response) => response.end("ok"));
  const tunnel = await openTunnel(egress, `${github}:443`);
  const secure = connectTls({ socket: tunnel, servername: github, ca: egress.broker.caCertificate });
  secure.on("error", () => {});
  secure.write(`CONNECT ${other}:443 HTTP/1.1\r\nHost: ${other}:443\r\n\r\n`);
  const [answer] = await once(secure, "data");
  expect(String(answer)).toMatch(/^HTTP\/1\.1 403 [^]*targetAmbiguous/);
  tunnel.destroy();
  await once(secure, "close");
  expect((await ask(egress)).text).toBe("ok");
});

/** Each in the place of a path under a rule for `/repos`; `@` is the declared host. */
const ambiguousPaths = [
  "/repos/../admin",
  "/repos/./../admin",
  "/repos/..",
  "/repos/.",
  "/repos/%2e%2e/admin",
  "/repos/.%2e/admin",
  "/repos/%2E%2E%2Fadmin",
  "/repos%2f..%2fadmin",
  "/repos/..%2fadmin",
  "/repos/%252e%252e/admin",
  "/repos/%25252e%25252e/admin",
  "/repos/%2525252e%2525252e/admin",
  "/repos/..;/admin",
  "/repos/..;x=1/admin",
  "/repos/%2e%2e%3b/admin",
  "/repos/..\\admin",
  "/repos\\..\\admin",
  "/repos/..%5cadmin",
  "/repos/%5c../admin",
  "/repos/%c0%ae%c0%ae/admin",
  "/repos/%e0%80%ae%e0%80%ae/admin",
  "/repos/..%c0%afadmin",
  "/repos/%ef%bc%8e%ef%bc%8e/admin",
  "/repos/%u002e%u002e/admin",
  "/repos/%00/../admin",
  "/repos/a%00",
  "/repos/a%0d%0aX-Evil:1",
  "/repos/a%7f",
  "/repos/%zz",
  "/repos/%",
  "/repos/%ff",
  "/repos#/admin",
  "//repos/a",
  "//evil.test/repos",
  "///repos",
  "/\\evil.test/repos",
  "repos",
  "*",
  "/repos/\u00e9",
  "http://@/repos/../admin",
  "http://user@@/repos",
  "http://user:pass@@/repos",
  "http://@#/repos",
  "http://@\\repos",
  "http:/repos",
  "http:///repos",
  "ftp://@/repos",
  "file:///repos",
];

test("a path that can be read in more than one way is denied, and reaches no upstream", async () => {
  await using egress = await openEgress((_, response) => response.end("reached"), { rules: narrow });
  for (const path of ambiguousPaths) {
    const target = path.replace(/@(?=\/|#|\\|$)/, github);
    const answer = await sendRaw(
      egress,
      `GET ${target} HTTP/1.1\r\nHost: ${github}\r\nConnection: close\r\n\r\n`,
    );
    expect(answer, path).toMatch(/^HTTP\/1\.1 40[03] /);
    expect(answer, path).not.toContain("reached");
  }
  // An encoded slash or backslash is admitted only where the path is, however it is read.
  for (const path of ["/repos%2fadmin", "/%72epos", "/user%5cx"]) {
    expect(await ask(egress, { path }), path).toMatchObject({ status: 403 });
  }
  expect(egress.upstream.connections()).toBe(0);
});

test("a host that can be read in more than one way is denied, and reaches no upstream", async () => {
  await using egress = await openEgress((_, response) => response.end("reached"));
  const hosts = [
    `${github}.`,
    `${github}:`,
    `${github}:0`,
    `${github}:0443`,
    `${github}:443:443`,
    `${github}:70000`,
    `${github}:+443`,
    `user@${github}`,
    `${github}@evil.test`,
    `evil.test@${github}`,
    `${github}/x`,
    `${github}?x`,
    `${github}#x`,
    `${github}\\x`,
    `${github} evil.test`,
    `${github},evil.test`,
    `${github}%00.evil.test`,
    "api\u2024github.test",
    "\u00e4pi.github.test",
    "api.github\u3002test",
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "017700000001",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "::1",
    "",
    "..",
    "-api.github.test",
  ];
  for (const host of hosts) {
    const answer = await sendRaw(egress, `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    expect(answer, host).toMatch(/^HTTP\/1\.1 40[03] /);
  }
  const heads = [
    "GET / HTTP/1.1",
    `GET / HTTP/1.1\r\nHost: ${github}\r\nHost: ${github}`,
    `GET / HTTP/1.1\r\nHost: ${github}\r\nHost: evil.test`,
    `GET http://evil.test/ HTTP/1.1\r\nHost: ${github}`,
    `GET http://${github}/ HTTP/1.1\r\nHost: evil.test`,
    `GET http://${github}:444/ HTTP/1.1\r\nHost: ${github}`,
  ];
  for (const head of heads) {
    expect(await sendRaw(egress, `${head}\r\nConnection: close\r\n\r\n`), head).toMatch(
      /^HTTP\/1\.1 40[03] /,
    );
  }
  expect(egress.upstream.connections()).toBe(0);
});

test("a request whose framing two parsers could read differently is refused, and its rest is no request", async () => {
  let requests = 0;
  await using egress = await openEgress((request, response) => {
    requests++;
    request.resume();
    response.end();
  });
  const smuggled = `GET /smuggled HTTP/1.1\r\nHost: ${github}\r\n\r\n`;
  const length = String(smuggled.length);
  const framings = [
    `Content-Length: ${length}\r\nTransfer-Encoding: chunked`,
    `Transfer-Encoding: chunked\r\nContent-Length: ${length}`,
    "Content-Length: 5\r\nContent-Length: 6",
    "Content-Length: +5",
    "Content-Length: -1",
    "Content-Length: 0x5",
    "Content-Length: 5,5",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity, chunked, gzip",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding: \x0bchunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "X: a\r\n folded: b",
    "X: a\rY: b",
    "X: a\0b",
  ];
  for (const framing of framings) {
    const head = `POST / HTTP/1.1\r\nHost: ${github}\r\n${framing}\r\n\r\n`;
    const answer = await sendRaw(egress, `${head}0\r\n\r\n${smuggled}`);
    expect(answer, framing).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer.match(/HTTP\/1\.1 \d/g), framing).toHaveLength(1);
  }
  expect(requests).toBe(0);
});

test("Upgrade, Expect, a method override and TRACE are refused", async () => {
  let requests = 0;
  await using egress = await openEgress((_, response) => {
    requests++;
    response.end();
  });
  const headers: Record<string, string>[] = [
    { connection: "upgrade", upgrade: "websocket" },
    { connection: "upgrade, http2-settings", upgrade: "h2c", "http2-settings": "AAMAAABkAARAAAAAAAIAAAAA" },
    { "x-http-method-override": "DELETE" },
    { "X-HTTP-Method": "DELETE" },
    { "x-method-override": "DELETE" },
    { "x-original-url": "/admin" },
  ];
  for (const given of headers) {
    expect((await ask(egress, { headers: given })).reason, JSON.stringify(given)).toBe("headerNotAllowed");
  }
  const post = `POST / HTTP/1.1\r\nHost: ${github}\r\nContent-Length: 1\r\n`;
  expect(await sendRaw(egress, `${post}Expect: 100-continue\r\n\r\n`)).toMatch(/^HTTP\/1\.1 417 /);
  expect(await sendRaw(egress, `${post}Expect: else\r\n\r\nx`)).toMatch(/^HTTP\/1\.1 417 /);
  const raw = `TRACE / HTTP/1.1\r\nHost: ${github}\r\nConnection: close\r\n\r\n`;
  expect(await sendRaw(egress, raw)).toContain("methodNotAllowed");
  expect(requests).toBe(0);
});

test("an inexact declaration opens no broker", async () => {
  const rule = everything[0];
  if (!rule) throw new Error("there is no rule");
  const wrong: Partial<EgressRule>[] = [
    { host: "*.github.test" },
    { host: "API.github.test" },
    { host: "127.0.0.1" },
    { host: "api.github.test." },
    { host: "api.github.test:443" },
    { port: 0 },
    { port: 1.5 },
    { methods: [] },
    { methods: ["get"] },
    { methods: ["TRACE"] },
    { methods: ["CONNECT"] },
    { pathPrefixes: [] },
    { pathPrefixes: ["repos"] },
    { pathPrefixes: ["/%2e"] },
    { pathPrefixes: ["/a/../b"] },
    { pathPrefixes: ["//a"] },
  ];
  expect(METHODS).toContain("TRACE");
  const options = { socketPath: "/nowhere/egress.sock", credential: null, record: () => {} };
  for (const part of wrong) {
    await expect(
      openBroker({ ...options, rules: [{ ...rule, ...part }] }),
      JSON.stringify(part),
    ).rejects.toThrow(TypeError);
  }
  const credential = {
    inject: { ...bearer, hosts: ["else.test"] },
    placeholder: null,
    read: async () => Buffer.from(canary),
  };
  await expect(openBroker({ ...options, rules: everything, credential })).rejects.toThrow(/else\.test/);
});
