import "server-only";

import type { MiniMcpClient, StreamOptions } from "@minimcp/client";

import type { Problem } from "../problem.ts";
import { connect } from "../server/connect.ts";
import { signedOut, toProblem } from "../server/to-problem.ts";

/** After that a browser whose stream broke off comes again. */
const comeAgainMs = 2_000;
/** A browser that hears nothing for several of these takes the stream for dead. */
const heartbeatMs = 15_000;
/** So many events wait for a browser that does not take them. */
const mostWaiting = 16;

const away = "MiniMCP does not answer, so this may be old. The page goes on by itself when it does.";

export interface StreamedValue {
  /** Plain JSON. */
  data: unknown;
  /** A browser that comes again sends the last one it had. */
  id?: string;
}

/**
 * Hands on a subscription of the API as server-sent events (WHATWG HTML, section 9.2), over one stream of the API for as
 * long as the browser stays: `connected` when the API is reached (again), `value`, `problem` when it is not or refuses,
 * `end` when nothing more will come, and `beat`.
 * @param open opens the subscription
 * @param write what the browser gets of a value
 */
export async function streamValues<T>(
  request: Request,
  open: (client: MiniMcpClient, options: StreamOptions) => AsyncIterable<T>,
  write: (value: T) => StreamedValue,
): Promise<Response> {
  const client = await connect();
  if (client === undefined)
    return Response.json(signedOut, { status: 401, headers: { "Cache-Control": "no-store" } });

  const { readable, writable } = new TransformStream<string, string>({}, { highWaterMark: mostWaiting });
  const writer = writable.getWriter();
  const left = new AbortController();
  writer.closed.catch(() => left.abort());
  const signal = AbortSignal.any([request.signal, left.signal]);
  void relay(writer, signal, (options) => open(client, options), write);
  return new Response(readable.pipeThrough(new TextEncoderStream()), {
    headers: {
      "Content-Type": "text/event-stream; charset=utf-8",
      "Cache-Control": "no-store, no-transform",
      "X-Accel-Buffering": "no",
    },
  });
}

async function relay<T>(
  writer: WritableStreamDefaultWriter<string>,
  signal: AbortSignal,
  open: (options: StreamOptions) => AsyncIterable<T>,
  write: (value: T) => StreamedValue,
): Promise<void> {
  /** What may be left out when the browser does not take what was sent before; what is over hears of nothing. */
  const mention = (text: string): void => {
    if ((writer.desiredSize ?? 0) > 0) writer.write(text).catch(() => undefined);
  };
  const beating = setInterval(() => mention(event("beat", "")), heartbeatMs);
  try {
    mention(`retry: ${comeAgainMs}\n\n`);
    const values = open({
      signal,
      onConnectionState({ state, error }) {
        if (error !== null) mention(problemEvent(error));
        else if (state === "pending") mention(event("connected", ""));
      },
    });
    for await (const value of values) {
      const { data, id } = write(value);
      // Waits while the browser takes nothing: then nothing more is asked of the API either.
      await writer.write(event("value", JSON.stringify(data), id));
    }
    await writer.write(event("end", ""));
    await writer.close();
  } catch (error) {
    await giveUp(writer, signal, error);
  } finally {
    clearInterval(beating);
  }
}

/** Tells the browser why nothing more comes, if it is still there. A defect breaks the stream off, and Next reports it. */
async function giveUp(
  writer: WritableStreamDefaultWriter<string>,
  signal: AbortSignal,
  error: unknown,
): Promise<void> {
  try {
    if (!signal.aborted) await writer.write(problemEvent(error));
    await writer.close();
  } catch (defect) {
    await writer.abort(defect).catch(() => undefined);
  }
}

/** @throws what is no MiniMcpError: a defect */
function problemEvent(error: unknown): string {
  const problem = toProblem(error);
  // What the stream stumbled over says nothing to somebody who looks at a page, and passes.
  const message = problem.remedy === "wait" ? away : problem.message;
  return event("problem", JSON.stringify({ ...problem, message } satisfies Problem));
}

/** @param data a single line */
function event(name: string, data: string, id?: string): string {
  return `${id === undefined ? "" : `id: ${id}\n`}event: ${name}\ndata: ${data}\n\n`;
}
