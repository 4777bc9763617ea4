import type { InstanceView, LogLineView } from "@minimcp/shared";
import superjson from "superjson";
import { describe, expect, it, vi } from "vitest";

import {
  createMiniMcpClient,
  isReason,
  memoryStore,
  MiniMcpError,
  type ConnectionState,
} from "../src/index.ts";
import { output, type RawAnswer, type ReceivedCall, refusal, startStandIn, tokenPair } from "./stand-in.ts";

const id = "00000000-0000-4000-8000-000000000001";
const connected = 'event: connected\ndata: {"reconnectAfterInactivityMs":300}\n\n\n';
const end = "event: return\ndata: \n\n\n";

function value(data: unknown, eventId?: string): string {
  const tag = eventId === undefined ? "" : `id: ${eventId}\n`;
  return `data: ${superjson.stringify(data)}\n${tag}\n\n`;
}

function failure(reason: Parameters<typeof refusal>[0]): string {
  const { error } = JSON.parse(refusal(reason).body) as { error: unknown };
  return `event: serialized-error\ndata: ${JSON.stringify(error)}\n\n\n`;
}

function stream(...events: string[]): RawAnswer {
  return {
    status: 200,
    headers: { "content-type": "text/event-stream" },
    body: connected + events.join(""),
  };
}

/** Answers the calls of streams in this order; the last answer again and again. */
function inOrder(...answers: RawAnswer[]) {
  let next = 0;
  return ({ path }: ReceivedCall): RawAnswer => {
    if (path === "auth.refresh") return output({ tokens: tokenPair(next + 1) });
    return answers[Math.min(next++, answers.length - 1)] ?? stream(end);
  };
}

async function collect<T>(values: AsyncIterable<T>): Promise<{ seen: T[]; error: unknown }> {
  const seen: T[] = [];
  try {
    for await (const item of values) seen.push(item);
    return { seen, error: undefined };
  } catch (error) {
    return { seen, error };
  }
}

const line = (text: string) => ({ text }) as LogLineView;
const view = (calls: number) => ({ id, calls }) as InstanceView;

describe("a stream", () => {
  it("goes on behind the last line after it was cut off, and ends when the server says so", async () => {
    await using server = await startStandIn(
      inOrder(stream(value(line("a"), "1-1"), value(line("b"), "1-2")), stream(value(line("c"), "1-3"), end)),
    );
    const states: ConnectionState["state"][] = [];
    const client = createMiniMcpClient({ url: server.url, token: "x" });
    const { seen, error } = await collect(
      client.logs({ id }, { onConnectionState: ({ state }) => states.push(state) }),
    );
    expect(error).toBeUndefined();
    expect(seen.map(({ text }) => text)).toEqual(["a", "b", "c"]);
    expect(states).toEqual(["connecting", "pending", "connecting", "pending", "idle"]);
    expect(server.calls.map(({ search }) => search.get("lastEventId"))).toEqual([null, "1-2"]);
    expect(server.calls.map(({ headers }) => headers["authorization"])).toEqual(["Bearer x", "Bearer x"]);
  });

  it.each([
    ["in its midst", [stream(value(view(1)), failure("auth.tokenExpired"))]],
    ["when it is opened", [stream(failure("auth.tokenExpired"))]],
  ])("goes on with the next token when the server says %s that its own has expired", async (_, before) => {
    await using server = await startStandIn(inOrder(...before, stream(value(view(2)), end)));
    const tokens = { accessToken: "access-0", refreshToken: "refresh-0", refreshAtMs: Date.now() + 600_000 };
    const client = createMiniMcpClient({ url: server.url, store: memoryStore(tokens) });
    const { seen, error } = await collect(client.watch({ id }));
    expect(error).toBeUndefined();
    expect(seen.at(-1)?.calls).toBe(2);
    expect(server.countOf("auth.refresh")).toBe(1);
    expect(server.calls.at(-1)?.headers.authorization).toBe("Bearer access-2");
  });

  it("is given up when the next token is refused too", async () => {
    await using server = await startStandIn(inOrder(stream(failure("auth.sessionEnded"))));
    const tokens = { accessToken: "access-0", refreshToken: "refresh-0", refreshAtMs: Date.now() + 600_000 };
    const client = createMiniMcpClient({ url: server.url, store: memoryStore(tokens) });
    const { error } = await collect(client.watchAll());
    expect(isReason(error, "auth.sessionEnded")).toBe(true);
    expect(server.countOf("mcp.watchAll")).toBe(2);
  });

  it.each([
    ["what the server says", stream(failure("mcp.notFound")), "mcp.notFound"],
    ["that the server is too old for it", refusal("input.notFound"), "client.incompatibleServer"],
    ["that something else answers", { status: 200, body: "<html>" }, "client.incompatibleServer"],
    ["that something in front of the server answers", { status: 502, body: "" }, "client.network"],
    ["that the database is away", stream(failure("server.unavailable")), "server.unavailable"],
  ] as const)("that never came up fails with %s", async (_, answer, reason) => {
    await using server = await startStandIn(inOrder(answer));
    const { error } = await collect(createMiniMcpClient({ url: server.url, token: "x" }).watch({ id }));
    expect(error).toBeInstanceOf(MiniMcpError);
    expect(error).toMatchObject({ reason });
  });

  it("that has worked outlasts a server that cannot answer for a while", async () => {
    await using server = await startStandIn(
      inOrder(
        stream(value(view(1))),
        { status: 502, body: "" },
        { status: 503, body: "" },
        stream(failure("server.unavailable")),
        stream(value(view(2)), end),
      ),
    );
    const client = createMiniMcpClient({ url: server.url, token: "x" });
    const { seen, error } = await collect(client.watch({ id }));
    expect(error).toBeUndefined();
    expect(seen.map(({ calls }) => calls)).toEqual([1, 2]);
  });

  it("is opened again when it has been silent for longer than the server ever is", async () => {
    await using server = await startStandIn(inOrder({ ...stream(value(view(1))), hold: true }, stream(end)));
    const client = createMiniMcpClient({ url: server.url, token: "x" });
    const { seen, error } = await collect(client.watch({ id }));
    expect(error).toBeUndefined();
    expect(seen).toHaveLength(1);
    expect(server.countOf("mcp.watch")).toBe(2);
  });

  it("is read right however its bytes are cut up, and with the line ends of any proxy", async () => {
    const text = connected + value({ text: "Grüße, 鍵 🔑" }, "1-1") + "event: ping\ndata: \n\n\n" + end;
    const bytes = new TextEncoder().encode(`: hello\n\n${text}`.replaceAll("\n", "\r\n"));
    const fetch = () =>
      Promise.resolve(
        new Response(
          new ReadableStream({
            start(controller) {
              for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
              controller.close();
            },
          }),
          { headers: { "content-type": "text/event-stream; charset=utf-8" } },
        ),
      );
    const client = createMiniMcpClient({ url: "http://127.0.0.1:9", token: "x", fetch });
    const { seen, error } = await collect(client.logs({ id }));
    expect(error).toBeUndefined();
    expect(seen.map((item) => item.text)).toEqual(["Grüße, 鍵 🔑"]);
  });

  it("that its reader leaves, or aborts, leaves no connection behind", async () => {
    await using server = await startStandIn(
      inOrder({ ...stream(value(view(1)), value(view(2))), hold: true }),
    );
    const client = createMiniMcpClient({ url: server.url, token: "x" });
    for await (const { calls } of client.watch({ id })) if (calls === 2) break;
    const abort = new AbortController();
    const reading = collect(client.watch({ id }, { signal: abort.signal }));
    await expect.poll(() => server.countOf("mcp.watch")).toBe(2);
    abort.abort();
    expect(isReason((await reading).error, "client.aborted")).toBe(true);
    await expect.poll(() => server.openConnections()).toBe(0);
  });
});

describe("subscribe", () => {
  it("tells its observer of values, of the connection and of the end, as tRPC's own client does", async () => {
    await using server = await startStandIn(inOrder(stream(value(line("a"), "1-1"), end)));
    const client = createMiniMcpClient({ url: server.url, token: "x" });
    const heard: unknown[] = [];
    await new Promise<void>((resolve) => {
      client.mcp.logs.subscribe(
        { id },
        {
          onStarted: () => heard.push("started"),
          onData: (data) => heard.push(data),
          onComplete: () => heard.push("complete"),
          onStopped: () => {
            heard.push("stopped");
            resolve();
          },
        },
      );
    });
    expect(heard).toEqual(["started", { id: "1-1", data: { text: "a" } }, "complete", "stopped"]);
  });

  it("tells of a refusal once, and of nothing but the stop to whoever has unsubscribed", async () => {
    await using server = await startStandIn(
      inOrder(stream(failure("mcp.notFound")), { ...stream(value(view(1))), hold: true }),
    );
    const client = createMiniMcpClient({ url: server.url, token: "x" });
    const onError = vi.fn<(error: unknown) => void>();
    const onStopped = vi.fn<() => void>();
    client.mcp.watch.subscribe({ id }, { onError, onStopped });
    await expect.poll(() => onStopped.mock.calls.length).toBe(1);
    expect(onError.mock.calls.map(([error]) => isReason(error, "mcp.notFound"))).toEqual([true]);
    const onData = vi.fn<(data: unknown) => void>();
    const subscription = client.mcp.watch.subscribe({ id }, { onData, onError, onStopped });
    await expect.poll(() => onData.mock.calls.length).toBe(1);
    subscription.unsubscribe();
    await expect.poll(() => onStopped.mock.calls.length).toBe(2);
    expect(onError).toHaveBeenCalledTimes(1);
  });
});
