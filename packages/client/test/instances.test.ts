import { describe, expect, it } from "vitest";

import { connection, createMiniMcpClient, type InstanceState } from "../src/index.ts";
import { output, startStandIn } from "./stand-in.ts";

/** Shows an instance in these states, one a look, and in the last for good. */
async function startShowing(...states: InstanceState[]) {
  let looks = 0;
  return await startStandIn(({ input }) => {
    const state = states[Math.min(looks, states.length - 1)];
    looks += 1;
    return output({ ...(input as object), state, endReason: "revoked", failure: "it broke" });
  });
}

describe("waitUntilReady", () => {
  it("resolves with the instance once it serves, and tells each state once", async () => {
    await using server = await startShowing("requested", "starting", "starting", "ready");
    const states: InstanceState[] = [];
    const client = createMiniMcpClient({ url: server.url });
    const instance = await client.waitUntilReady({ id: "i-1" }, { onState: (state) => states.push(state) });
    expect(instance).toMatchObject({ id: "i-1", state: "ready" });
    expect(states).toEqual(["requested", "starting", "ready"]);
  });

  it.each([
    ["failed", "client.instanceFailed", /could not start: it broke/],
    ["ended", "client.instanceEnded", /is over \(revoked\)/],
    ["stopping", "client.instanceEnded", /is over/],
  ] as const)("rejects when the instance is %s", async (state, reason, message) => {
    await using server = await startShowing("starting", state);
    const waiting = createMiniMcpClient({ url: server.url }).waitUntilReady({ id: "i-1" });
    await expect(waiting).rejects.toMatchObject({
      reason,
      message: expect.stringMatching(message) as string,
    });
  });

  it("gives up after its timeout and at an abort", async () => {
    await using server = await startShowing("starting");
    const client = createMiniMcpClient({ url: server.url });
    await expect(client.waitUntilReady({ id: "i-1" }, { timeoutMs: 50 })).rejects.toMatchObject({
      reason: "client.timeout",
    });
    const controller = new AbortController();
    const waiting = client.waitUntilReady(
      { id: "i-1" },
      { signal: controller.signal, onState: () => controller.abort() },
    );
    await expect(waiting).rejects.toMatchObject({ reason: "client.aborted" });
  });
});

describe("connection", () => {
  it("is what an MCP client needs", () => {
    const { url, headers } = connection({ endpoint: "http://127.0.0.1:5001/mcp/1", accessToken: "mcp_1" });
    expect(new URL(url).href).toBe("http://127.0.0.1:5001/mcp/1");
    expect(new Headers(headers).get("authorization")).toBe("Bearer mcp_1");
  });
});
