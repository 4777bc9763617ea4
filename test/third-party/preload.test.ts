import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

// @boundaries-ignore What the broker's own tests call the parts of.
import { bearer, canary, github, tokenForm } from "../../packages/gateway/test/egress-harness.ts";
import { hasSandbox, openSandbox, runWithPreload, type Sandbox } from "./support/sandbox.ts";

const clients = fileURLToPath(new URL("fixtures/clients.js", import.meta.url));
const raw = fileURLToPath(new URL("fixtures/raw.js", import.meta.url));
const styles = [
  "http and https",
  "global fetch",
  "undici's fetch",
  "undici's request",
  "undici with HTTP/2",
  "axios",
  "node-fetch",
  "got",
  "got with HTTP/2",
  "gaxios",
] as const;

type Result = { status: number; text: string } | { error: string };

interface Seen {
  method: string;
  url: string;
  authorization: string | undefined;
  body: string;
}

let sandbox: Sandbox;
const seen: Seen[] = [];

beforeAll(async () => {
  if (!hasSandbox) return;
  sandbox = await openSandbox(
    async (request, response) => {
      let body = "";
      for await (const chunk of request) body += String(chunk);
      const { method = "", url = "" } = request;
      seen.push({ method, url, authorization: request.headers.authorization, body });
      response.end(`hello from ${request.headers.host}${url}`);
    },
    {
      credential: { inject: bearer, placeholder: tokenForm, read: async () => Buffer.from(canary) },
    },
  );
});
afterAll(() => sandbox?.[Symbol.asyncDispose]());

async function call(url: string, body?: string): Promise<Record<string, Result>> {
  const { placeholder } = sandbox.egress.broker;
  const args = [clients, url, ...(body === undefined ? [] : [body])];
  return JSON.parse(await runWithPreload(sandbox, args, { KEY: String(placeholder) }));
}

describe.skipIf(!hasSandbox)("a client in the sandbox", () => {
  it.each(["https", "http"])("reaches its %s upstream through the broker, whatever it is", async (scheme) => {
    seen.length = 0;
    const results = await call(`${scheme}://${github}/user?page=2`, "a body");
    const expected = { status: 200, text: `hello from ${github}/user?page=2` };
    expect(results).toEqual(Object.fromEntries(styles.map((style) => [style, expected])));
    const arrived = {
      method: "POST",
      url: "/user?page=2",
      authorization: `Bearer ${canary}`,
      body: "a body",
    };
    expect(seen).toEqual(styles.map(() => arrived));
  });

  it("is told by the broker, in the body of a 403, which host it may not call", async () => {
    seen.length = 0;
    const results = await call("https://elsewhere.example/steal", "data");
    const denial = {
      status: 403,
      text: expect.stringContaining("This server may not call that host. Allowed: "),
    };
    expect(results).toEqual(Object.fromEntries(styles.map((style) => [style, denial])));
    expect(seen).toEqual([]);
  });

  it("gets nowhere when there is no broker any more", async () => {
    const gone = { KEY: "", MCP_EGRESS_SOCKET: "/run/mcp/gone.sock" };
    const results: Record<string, Result> = JSON.parse(
      await runWithPreload(sandbox, [clients, `https://${github}/`], gone),
    );
    const failure = { error: expect.stringContaining("connect ENOENT /run/mcp/gone.sock") };
    expect(results).toEqual(Object.fromEntries(styles.map((style) => [style, failure])));
  });
});

describe.skipIf(!hasSandbox)("a connection without an HTTP client", () => {
  let results: Record<string, unknown>;
  beforeAll(async () => {
    const env = { KEY: String(sandbox.egress.broker.placeholder) };
    results = JSON.parse(await runWithPreload(sandbox, [raw, github], env));
  });

  it.each([
    "tls.connect(port, host)",
    "tls.connect(port, host, options)",
    "tls.connect(options)",
    "connect of an ES module of TLS",
    "net.connect(port, host)",
    "connect of an ES module",
    "new Socket().connect(port, host)",
    "a look-up of its own",
  ])("leads to the broker: %s", (form) => {
    expect(results[form]).toEqual({ status: 200, body: `hello from ${github}/` });
  });

  it("has its look-up over with at once", () => {
    const end = { error: null, name: github };
    expect(results["the end of the look-up"]).toEqual([end, end]);
  });

  it("leads there from a worker thread", () => {
    expect(results["a worker thread"]).toBe(200);
  });

  it.each(["TLS by address", "TLS by IPv6 address"])("says what is wrong about %s", (form) => {
    expect(results[form]).toEqual({ error: expect.stringContaining("calls hosts by their names") });
  });

  it("is refused to an address, and the broker has a record of it", () => {
    expect(results["HTTP by address"]).toMatchObject({ status: 403 });
    expect(sandbox.egress.decisions).toContainEqual(expect.objectContaining({ reason: "targetAmbiguous" }));
  });

  it.each([
    "another server of the sandbox",
    "another server of the sandbox, IPv6",
    "another server of the sandbox, mapped",
  ])("stays inside: %s", (form) => {
    expect(results[form]).toEqual({ status: 200, body: "local" });
  });
});
