/**
 * The attack: an MCP server answers with whatever may hurt who reads it: its worker, the client, the client's browser, or
 * the instance next door. The client gets a clear error or a bounded answer in bounded time, and nobody else notices.
 */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

import { type Account, createAdmin } from "../support/accounts.ts";
import { addType, callTool, createInstance, echo, findBundle, type Instance } from "../support/instances.ts";
import { type Product, startProduct } from "../support/product.ts";

const responseTimeoutMs = 2_000;
const responseBodyBytes = 4 * 1024 * 1024;
/** Far beyond both, for a machine with much to do. */
const boundedMs = 20_000;
/** Far below what a flood brings in that time, and above what Node takes by itself. */
const boundedMegabytes = 250;

let product: Product;
let owner: Account;
let hostile: Instance;
let neighbour: Instance;
let megabytesBefore: number;

const rssMegabytes = (): number => process.memoryUsage.rss() / 2 ** 20;

beforeAll(async () => {
  product = await startProduct({ findBundle, ingressLimits: { responseTimeoutMs, responseBodyBytes } });
  owner = await createAdmin(product);
  await addType(product, "answering", { bundle: "answering" });
  [hostile, neighbour] = await Promise.all([
    createInstance(product, owner, { type: "answering" }),
    createInstance(product, owner),
  ]);
  await echo(neighbour);
  await outcomeOf("whole");
  megabytesBefore = rssMegabytes();
});

afterAll(() => product[Symbol.asyncDispose]());

// The worker is in this process, and so is the client.
afterEach(async () => {
  const grownMegabytes = rssMegabytes() - megabytesBefore;
  if (grownMegabytes > boundedMegabytes) throw new Error(`The process has grown by ${grownMegabytes} MB.`);
  await echo(neighbour);
  const { status, text } = await outcomeOf("whole");
  if (status !== 200) throw new Error(`The same instance answers ${status} afterwards: ${text}`);
});

interface Outcome {
  status: number;
  headers: Headers;
  /** What arrived of the body. */
  text: string;
  isCut: boolean;
}

/** Reads an answer as far as it comes. */
async function outcomeOf(tool: string): Promise<Outcome> {
  const answer = await callTool(hostile, tool, {}, { signal: AbortSignal.timeout(boundedMs) });
  const decoder = new TextDecoder();
  let text = "";
  let isCut = false;
  try {
    for await (const chunk of answer.body ?? []) text += decoder.decode(chunk, { stream: true });
  } catch (error) {
    if (error instanceof DOMException) throw error;
    isCut = true;
  }
  return { status: answer.status, headers: answer.headers, text, isCut };
}

test.each([
  ["garbage instead of HTTP", "garbage", 502, "connectionLost"],
  ["a header without end", "hugeHeader", 502, "connectionLost"],
  ["headers without end", "manyHeaders", 502, "connectionLost"],
  ["nothing", "nothing", 504, "responseTimeout"],
  ["a header that trickles", "trickledHeader", 504, "responseTimeout"],
  ["the end of the connection", "close", 502, "connectionLost"],
  ["an announced gigabyte", "announcedGigabyte", 502, "responseTooLarge"],
  ["two lengths", "twoLengths", 502, "connectionLost"],
  ["a length and chunks", "lengthAndChunks", 502, "connectionLost"],
  ["a redirect", "redirect", 502, "responseInvalid"],
  ["a demand for credentials", "askForPassword", 502, "responseInvalid"],
  ["a switch of protocols", "switchProtocols", 502, "connectionLost"],
  ["informational answers without end", "informationalFlood", 502, "responseInvalid"],
])("%s is told as an error in words", async (_, tool, status, reason) => {
  const outcome = await outcomeOf(tool);
  expect({ status: outcome.status, ...JSON.parse(outcome.text) }).toMatchObject({ status, reason });
  expect(outcome.text + JSON.stringify([...outcome.headers])).not.toContain("evil");
});

test.each([
  ["a body without end", "endlessBody"],
  ["a body that trickles", "trickle"],
  ["a body shorter than its length", "lengthTooLong"],
])("%s is cut, and never looks like a whole one", async (_, tool) => {
  const { isCut, text } = await outcomeOf(tool);
  expect(isCut).toBe(true);
  expect(text.length).toBeLessThanOrEqual(responseBodyBytes);
});

test("a stream without end waits for its reader, and takes no memory for that", async () => {
  const over = new AbortController();
  const answer = await callTool(hostile, "endlessStream", {}, { signal: over.signal });
  const reader = answer.body?.getReader();
  expect((await reader?.read())?.done).toBe(false);
  // Nobody reads while it has time to send what would be gigabytes.
  const until = performance.now() + 1_500;
  while (performance.now() < until) await echo(neighbour);
  expect(rssMegabytes() - megabytesBefore).toBeLessThan(boundedMegabytes);
  over.abort();
});

test("invalid JSON is the client's to refuse: the bytes come as they were sent, and no more of them", async () => {
  expect(await outcomeOf("invalidJson")).toMatchObject({ status: 200, text: '{"jsonrp', isCut: false });
  expect((await outcomeOf("lengthTooShort")).text).toBe('{"jsonrpc"');
});

test("bytes behind an answer are not taken for the answer to the next call", async () => {
  const answers = await Promise.all(Array.from({ length: 4 }, () => outcomeOf("bytesAfterTheEnd")));
  const next = await outcomeOf("invalidJson");
  expect(next.text).toBe('{"jsonrp');
  for (const { headers } of [...answers, next]) expect(headers.has("x-smuggled")).toBe(false);
});

test("a few informational answers before the real one do no harm, and stay here", async () => {
  const { status, headers } = await outcomeOf("someInformational");
  expect(status).toBe(200);
  expect(headers.has("link")).toBe(false);
});

test("no header that speaks to a browser, a proxy or for the whole origin passes", async () => {
  const { status, headers } = await outcomeOf("headers");
  expect(status).toBe(200);
  // How the gateway's own answers look, and what says nothing to anybody who acts on it.
  expect(Object.fromEntries(headers)).toEqual({
    "cache-control": "no-store",
    connection: "keep-alive",
    "content-length": expect.any(String),
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "content-type": "application/json",
    "cross-origin-opener-policy": "unsafe-none",
    date: expect.any(String),
    "keep-alive": expect.stringMatching(/^timeout=\d{1,3}$/),
    "permissions-policy": "camera=*",
    server: "evil",
    "x-content-type-options": "nosniff",
    "x-frame-options": "ALLOWALL",
    "x-powered-by": "evil",
  });
});
