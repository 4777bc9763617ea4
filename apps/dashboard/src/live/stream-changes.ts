import "server-only";

import { setTimeout as delay } from "node:timers/promises";

import type { MiniMcpClient } from "@minimcp/client";

import { connect } from "../server/connect.ts";
import { signedOut, toProblem } from "../server/to-problem.ts";
import type { Seen } from "./live-instance.ts";

const lookEveryMs = 1_000;
/** A comment in a quiet stream, so that nothing in between takes it for dead and a browser that left is noticed. */
const heartbeatEveryMs = 15_000;
/** The browser comes again, and its session is looked at again. */
const longestStreamMs = 10 * 60_000;

/**
 * Streams what changes as server-sent events (WHATWG HTML, section 9.2): `seen` whenever a look shows something new,
 * `problem` when a look fails. It ends with the browser's request.
 */
export async function streamChanges<T>(
  request: Request,
  look: (client: MiniMcpClient, signal: AbortSignal) => Promise<T>,
): Promise<Response> {
  const client = await connect();
  if (client === undefined)
    return Response.json(signedOut, { status: 401, headers: { "Cache-Control": "no-store" } });

  const left = new AbortController();
  const signal = AbortSignal.any([request.signal, left.signal, AbortSignal.timeout(longestStreamMs)]);
  const events = eventsOf((looking) => look(client, looking), signal);
  const stream = new ReadableStream<string>({
    async pull(controller) {
      const { value, done } = await events.next();
      if (done === true) controller.close();
      else controller.enqueue(value);
    },
    cancel: () => left.abort(),
  });
  return new Response(stream.pipeThrough(new TextEncoderStream()), {
    headers: {
      "Content-Type": "text/event-stream; charset=utf-8",
      "Cache-Control": "no-store, no-transform",
      "X-Accel-Buffering": "no",
    },
  });
}

async function* eventsOf<T>(
  look: (signal: AbortSignal) => Promise<T>,
  signal: AbortSignal,
): AsyncGenerator<string> {
  let last = "";
  let lastSentMs = 0;
  while (!signal.aborted) {
    const event = await lookOnce(look, signal);
    if (signal.aborted) return;
    const nowMs = Date.now();
    if (event.content !== last) {
      last = event.content;
      lastSentMs = nowMs;
      yield `event: ${event.name}\ndata: ${event.write(nowMs)}\n\n`;
    } else if (nowMs - lastSentMs > heartbeatEveryMs) {
      lastSentMs = nowMs;
      yield ": still here\n\n";
    }
    await delay(lookEveryMs, undefined, { signal }).catch(() => undefined);
  }
}

interface StreamedEvent {
  name: "seen" | "problem";
  /** What makes it the same as another. */
  content: string;
  write(nowMs: number): string;
}

async function lookOnce<T>(
  look: (signal: AbortSignal) => Promise<T>,
  signal: AbortSignal,
): Promise<StreamedEvent> {
  try {
    const value = await look(signal);
    return {
      name: "seen",
      content: JSON.stringify(value),
      write: (nowMs) => JSON.stringify({ nowMs, value } satisfies Seen<T>),
    };
  } catch (error) {
    const problem = toProblem(error);
    const content = JSON.stringify(problem);
    return { name: "problem", content: problem.reason, write: () => content };
  }
}
