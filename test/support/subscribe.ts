import superjson from "superjson";

import type { CallAnswer, CallOptions } from "./call.ts";

/** An event of a stream, as it was on the wire. */
export interface StreamEvent {
  event: string;
  id: string | undefined;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look at data of every shape
  data: any;
}

export interface Subscription extends AsyncDisposable {
  status: number;
  headers: Headers;
  /** The next value, error or end. Pings are passed over. @throws when the connection is cut */
  next(): Promise<StreamEvent>;
  /** Everything until the end of the answer. */
  rest(): Promise<StreamEvent[]>;
}

/** A subscription as any HTTP client would open it. */
export async function subscribe(
  apiUrl: string,
  path: string,
  input?: unknown,
  { token, headers }: CallOptions = {},
): Promise<Subscription> {
  const search = input === undefined ? "" : `?input=${encodeURIComponent(superjson.stringify(input))}`;
  const hangUp = new AbortController();
  const response = await fetch(`${apiUrl}/trpc/${path}${search}`, {
    headers: {
      accept: "text/event-stream",
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
    signal: hangUp.signal,
  });
  if (response.body === null) throw new Error(`${path} answered ${response.status} without a body`);
  // Locked at once: fetch cancels a body that nobody has begun to read when its response is collected.
  const events = readEvents(response.body.pipeThrough(new TextDecoderStream()));
  const next = async (): Promise<StreamEvent> => {
    const { value, done } = await events.next();
    return done ? { event: "cut", id: undefined, data: undefined } : value;
  };
  return {
    status: response.status,
    headers: response.headers,
    next,
    async rest() {
      const all: StreamEvent[] = [];
      for (let event = await next(); event.event !== "cut"; event = await next()) all.push(event);
      return all;
    },
    async [Symbol.asyncDispose]() {
      hangUp.abort();
      await events.return(undefined).catch(() => undefined);
    },
  };
}

/** The refusal of a subscription, in the form of any other call's. */
export async function refusalOf(
  apiUrl: string,
  path: string,
  input: unknown,
  options: CallOptions,
): Promise<CallAnswer> {
  await using stream = await subscribe(apiUrl, path, input, options);
  const { event, data } = await stream.next();
  const refused = event === "serialized-error" ? data.data : undefined;
  return {
    status: refused?.httpStatus ?? stream.status,
    headers: stream.headers,
    data: event === "message" ? data : undefined,
    error: refused === undefined ? undefined : { message: data.message, ...refused },
    text: JSON.stringify(data),
  };
}

async function* readEvents(chunks: ReadableStream<string>): AsyncGenerator<StreamEvent, void> {
  let text = "";
  for await (const chunk of chunks) {
    const blocks = (text + chunk).split("\n\n");
    text = blocks.pop() ?? "";
    for (const block of blocks) {
      const fields = new Map(
        block.split("\n").flatMap((line) => {
          const colon = line.indexOf(":");
          return colon === -1 ? [] : [[line.slice(0, colon), line.slice(colon + 1).trimStart()] as const];
        }),
      );
      const event = fields.get("event") ?? "message";
      const data = fields.get("data");
      if (fields.size === 0 || event === "connected" || event === "ping") continue;
      const isValue = event === "message" || event === "serialized-error";
      yield {
        event,
        id: fields.get("id"),
        data: isValue && data !== undefined ? superjson.deserialize(JSON.parse(data)) : data,
      };
    }
  }
}
