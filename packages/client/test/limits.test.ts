import { describe, expect, it } from "vitest";

import { createMiniMcpClient } from "../src/index.ts";
import { output, type RawAnswer, refusal, startStandIn } from "./stand-in.ts";

/** Refuses the first call with this answer and accepts the next. */
async function startRefusingOnce(answer: RawAnswer) {
  let refused = false;
  return await startStandIn(() => {
    if (refused) return output({ items: [] });
    refused = true;
    return answer;
  });
}

const limited: RawAnswer = { status: 429, headers: { "retry-after": "1" }, body: "Too many requests" };
const later = { type: "everything", expirationMinutes: 5 };

describe("a server that says when to come back", () => {
  it("is asked again after the seconds of its Retry-After", async () => {
    await using server = await startRefusingOnce(limited);
    const client = createMiniMcpClient({ url: server.url });
    const started = performance.now();
    await client.mcp.list.query({});
    expect(performance.now() - started).toBeGreaterThan(990);
    expect(server.calls).toHaveLength(2);
  });

  it.each([
    ["a query by an unavailable server", refusal("server.unavailable", { retryAfterSeconds: 0 }), "list"],
    ["a mutation by a limit", refusal("auth.busy", { httpStatus: 429, retryAfterSeconds: 0 }), "create"],
    [
      "a mutation that found no worker",
      refusal("mcp.noWorker", { httpStatus: 503, retryAfterSeconds: 0 }),
      "create",
    ],
    [
      "a creation with an idempotency key",
      refusal("server.unavailable", { retryAfterSeconds: 0 }),
      "createOnce",
    ],
  ] as const)("repeats what is safe to: %s", async (_, answer, procedure) => {
    await using server = await startRefusingOnce(answer);
    const { mcp } = createMiniMcpClient({ url: server.url });
    if (procedure === "list") await mcp.list.query({});
    else if (procedure === "create") await mcp.create.mutate(later);
    else await mcp.create.mutate({ ...later, idempotencyKey: "key-number-one" });
    expect(server.calls).toHaveLength(2);
  });

  it("never repeats a mutation that may have been carried out", async () => {
    await using server = await startRefusingOnce(refusal("server.unavailable", { retryAfterSeconds: 0 }));
    const client = createMiniMcpClient({ url: server.url });
    await expect(client.mcp.create.mutate(later)).rejects.toMatchObject({
      reason: "server.unavailable",
      retryAfterSeconds: 0,
    });
    expect(server.calls).toHaveLength(1);
  });

  it("fails at once when the wait would be longer than the caller allows", async () => {
    await using server = await startRefusingOnce(
      refusal("auth.busy", { httpStatus: 429, retryAfterSeconds: 61 }),
    );
    const client = createMiniMcpClient({ url: server.url });
    await expect(client.mcp.list.query({})).rejects.toMatchObject({
      reason: "auth.busy",
      retryAfterSeconds: 61,
    });
    await using other = await startRefusingOnce(limited);
    const hasty = createMiniMcpClient({ url: other.url, maxRetryWaitMs: 0 });
    await expect(hasty.mcp.list.query({})).rejects.toMatchObject({
      reason: "client.network",
      httpStatus: 429,
    });
    expect([server.calls.length, other.calls.length]).toEqual([1, 1]);
  });

  it("is not asked for ever", async () => {
    await using server = await startStandIn(() => refusal("server.unavailable", { retryAfterSeconds: 0 }));
    const client = createMiniMcpClient({ url: server.url });
    await expect(client.mcp.list.query({})).rejects.toMatchObject({ reason: "server.unavailable" });
    expect(server.calls).toHaveLength(5);
  });

  it("is not waited for after an abort", async () => {
    await using server = await startStandIn(() => refusal("server.unavailable", { retryAfterSeconds: 30 }));
    const client = createMiniMcpClient({ url: server.url });
    const controller = new AbortController();
    const call = client.mcp.list.query({}, { signal: controller.signal });
    await expect.poll(() => server.calls.length).toBe(1);
    controller.abort();
    await expect(call).rejects.toMatchObject({ reason: "client.aborted" });
  });
});
