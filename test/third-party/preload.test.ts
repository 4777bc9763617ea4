import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

// @boundaries-ignore What the broker's own tests call the parts of.
import { bearer, canary, github, tokenForm } from "../../packages/gateway/test/egress-harness.ts";
import { hasSandbox, openSandbox, runWithPreload, type Sandbox } from "./support/sandbox.ts";

const clients = fileURLToPath(new URL("fixtures/clients.js", import.meta.url));
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
});
