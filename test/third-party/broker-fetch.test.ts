/** The clients of first-party connectors, over the `fetch` that leads to the broker. They hold nothing at all. */
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";

import { Octokit } from "@octokit/rest";
import { Gaxios } from "gaxios";
import { afterAll, beforeAll, expect, it } from "vitest";

// @boundaries-ignore Made for the programs of this room alone, so it is not on its face.
import { createBrokerFetch } from "../../packages/connectors/src/egress/broker-fetch.ts";
// @boundaries-ignore A broker in front of a recorded upstream.
import { canary, type Egress, openEgress } from "../../packages/gateway/test/egress-harness.ts";

const host = "api.github.com";
let answer: (request: IncomingMessage, response: ServerResponse) => unknown;
let egress: Egress;
let broker: ReturnType<typeof createBrokerFetch>;

beforeAll(async () => {
  egress = await openEgress((request, response) => answer(request, response), {
    rules: [{ host, port: 443, methods: ["GET", "POST"], pathPrefixes: ["/"] }],
    loopbackHosts: [host],
    credential: {
      inject: { hosts: [host], scheme: "bearer" },
      placeholder: null,
      read: async () => Buffer.from(canary),
    },
  });
  broker = createBrokerFetch({ socketPath: egress.broker.socketPath });
});
afterAll(async () => {
  await broker[Symbol.asyncDispose]();
  await egress[Symbol.asyncDispose]();
});

it("octokit turns the pages of a list, though its upstream's links are https", async () => {
  const seen: (string | undefined)[] = [];
  answer = ({ url = "", headers }, response) => {
    seen.push(headers.authorization);
    const page = Number(new URL(url, `https://${host}`).searchParams.get("page") ?? 1);
    const next = `<https://${host}/repos/o/r/issues?page=${page + 1}>; rel="next"`;
    response.writeHead(200, { "content-type": "application/json", ...(page < 3 && { link: next }) });
    response.end(JSON.stringify([{ number: page }]));
  };
  const octokit = new Octokit({ request: { fetch: broker.fetch } });
  const issues = await octokit.paginate(octokit.rest.issues.listForRepo, { owner: "o", repo: "r" });
  expect(issues.map(({ number }) => number)).toEqual([1, 2, 3]);
  expect(seen).toEqual(Array.from({ length: 3 }, () => `Bearer ${canary}`));
});

it("gaxios sends a body and follows a redirect to https", async () => {
  answer = async (request, response) => {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    if (request.url === "/old") response.writeHead(307, { location: `https://${host}/new` }).end();
    else
      response
        .writeHead(200, { "content-type": "application/json" })
        .end(`{"url":"${request.url}","got":${body}}`);
  };
  const { data } = await new Gaxios({ fetchImplementation: broker.fetch }).request({
    url: `https://${host}/old`,
    method: "POST",
    data: { a: 1 },
  });
  expect(data).toEqual({ url: "/new", got: { a: 1 } });
});

it("takes a Request of Node's", async () => {
  answer = ({ headers }, response) => response.end(headers["x-asked"]);
  const request = new Request(`https://${host}/`, { headers: { "x-asked": "so" } });
  expect(await (await broker.fetch(request)).text()).toBe("so");
});

it("what the broker refuses arrives as its answer, with what is allowed", async () => {
  const refused = await broker.fetch("https://elsewhere.example/steal", { method: "POST", body: "data" });
  expect({ status: refused.status, header: refused.headers.get("x-minimcp-egress") }).toEqual({
    status: 403,
    header: "denied",
  });
  expect(await refused.text()).toContain(`Allowed: GET, POST https://${host}/`);
});

it("an answer is read as it comes, and the upstream hears when nobody reads on", async () => {
  const { promise: left, resolve: onLeft } = Promise.withResolvers<void>();
  answer = (_, response) => {
    response.write("first");
    response.once("close", onLeft);
  };
  const leaving = new AbortController();
  const response = await broker.fetch(`https://${host}/stream`, { signal: leaving.signal });
  const reader = response.body?.getReader();
  expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe("first");
  leaving.abort();
  await expect(reader?.read()).rejects.toThrow("aborted");
  await left;
});

it("a request body reaches the upstream while it is written", async () => {
  const { promise: began, resolve: onBegin } = Promise.withResolvers<string>();
  answer = async (request, response) => {
    const [first] = (await once(request, "data")) as [Buffer];
    onBegin(first.toString());
    await once(request.resume(), "end");
    response.end("done");
  };
  const { readable, writable } = new TransformStream<Uint8Array>();
  const answered = broker.fetch(`https://${host}/upload`, {
    method: "POST",
    body: readable,
    duplex: "half",
  });
  const writer = writable.getWriter();
  await writer.write(Buffer.from("first"));
  expect(await began).toBe("first");
  await writer.close();
  expect(await (await answered).text()).toBe("done");
});
