import superjson from "superjson";

import { abortable, abortedBy, pause } from "./abort.ts";
import { isReason, MiniMcpError } from "./errors.ts";
import { isRecord } from "./is-record.ts";
import { type Fetch, foreignAnswer, unreachable } from "./read-answer.ts";
import { authorization, readWireError } from "./send-call.ts";
import type { Session } from "./session.ts";

/** How a stream's connection is doing. `connecting` with an error says why it was lost, and that it will come again. */
export type ConnectionState =
  | { state: "connecting"; error: MiniMcpError | null }
  | { state: "pending"; error: null }
  | { state: "idle"; error: null };

export interface StreamOptions {
  /** Ends the stream; it then throws `client.aborted`. */
  signal?: AbortSignal | null | undefined;
  /** Hears whenever the connection comes up, is lost, or is over. */
  onConnectionState?: ((state: ConnectionState) => void) | undefined;
}

export interface StreamCall extends StreamOptions {
  path: string;
  input: unknown;
}

/** A value, with its id where the server gives those. */
export interface StreamItem {
  id: string | undefined;
  data: unknown;
}

/**
 * Reads a subscription to its end, over as many connections as that takes.
 * @throws MiniMcpError when the server refuses, the first connection fails, or the caller aborts
 */
export type OpenStream = (call: StreamCall) => AsyncGenerator<StreamItem, void>;

const firstPauseMs = 250;
const longestPauseMs = 15_000;
/** A connection that was up for so long was a good one, whatever it ended with. */
const workedMs = 5_000;

/**
 * Subscriptions as tRPC has them over server-sent events, read by `fetch` because EventSource sends no Authorization
 * header. A lost connection is made again with the session's newest token, behind the last event that had an id.
 */
export function createOpenStream(options: {
  url: string;
  fetch: Fetch;
  timeoutMs: number;
  session: Session;
}): OpenStream {
  const { session } = options;
  return async function* ({ path, input, signal: given, onConnectionState }) {
    const signal = given ?? undefined;
    let lastId: string | undefined;
    // Whether it has ever worked: what fails before that is told, what fails after it passes.
    let hasWorked = false;
    let failures = 0;
    let lost: MiniMcpError | null = null;
    let refused: string | undefined;
    for (;;) {
      let token: string | undefined;
      let upSince = Infinity;
      onConnectionState?.({ state: "connecting", error: lost });
      try {
        token = await abortable(
          refused === undefined ? session.accessToken() : session.replace(refused),
          signal,
        );
        if (refused !== undefined && token === undefined && lost !== null) throw lost;
        refused = undefined;
        for await (const event of connect(options, { path, input, lastId, token, signal })) {
          if (event === "connected") {
            upSince = performance.now();
            onConnectionState?.({ state: "pending", error: null });
          } else {
            hasWorked = true;
            failures = 0;
            lastId = event.id ?? lastId;
            yield event;
          }
        }
        onConnectionState?.({ state: "idle", error: null });
        return;
      } catch (error) {
        if (signal?.aborted) throw abortedBy(signal);
        if (!(error instanceof MiniMcpError)) throw error;
        const isCut = isReason(error, "client.network", "client.timeout");
        // A stream without values works too; a refusal as the first thing on a connection is no sign of that.
        if (isCut && upSince < Infinity) hasWorked = true;
        if (performance.now() - upSince > workedMs) failures = 0;
        failures += 1;
        lost = error;
        // A stream ends with its token, and goes on with the next.
        const isTokenOver = isReason(error, "auth.tokenExpired", "auth.sessionEnded", "auth.tokenInvalid");
        if (isTokenOver && failures === 1 && token !== undefined) {
          refused = token;
          continue;
        }
        if (!hasWorked || !(isCut || isReason(error, "server.unavailable"))) throw error;
      }
      const longest = Math.min(firstPauseMs * 2 ** (failures - 1), longestPauseMs);
      // Spread, so that those whom a restart of the server cut off do not all come back in the same moment.
      await pause((lost.retryAfterSeconds ?? 0) * 1000 + longest * (0.5 + Math.random() / 2), signal);
    }
  };
}

/** One connection. Returns at the end of the stream, throws when it is cut. */
async function* connect(
  { url, fetch, timeoutMs }: { url: string; fetch: Fetch; timeoutMs: number },
  call: {
    path: string;
    input: unknown;
    lastId: string | undefined;
    token: string | undefined;
    signal: AbortSignal | undefined;
  },
): AsyncGenerator<StreamItem | "connected", void> {
  const hangUp = new AbortController();
  const leave = () => hangUp.abort();
  call.signal?.addEventListener("abort", leave, { once: true });
  if (call.signal?.aborted) leave();
  let silence: ReturnType<typeof setTimeout> | undefined;
  // The server pings; a connection that is silent for longer has died without a word.
  let longestSilenceMs = timeoutMs;
  let isSilent = false;
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => {
      isSilent = true;
      leave();
    }, longestSilenceMs);
  };
  try {
    heard();
    const response = await fetch(addressOf(url, call), {
      headers: { accept: "text/event-stream", ...authorization(call.token) },
      signal: hangUp.signal,
    });
    if (!response.headers.get("content-type")?.startsWith("text/event-stream") || response.body === null) {
      throw await readRefusal(response, url, call.path);
    }
    for await (const { event, id, data } of readEvents(response.body, heard)) {
      if (event === "message") yield { id, data: superjson.deserialize(JSON.parse(data)) };
      else if (event === "serialized-error") {
        throw wireError(
          JSON.parse(data),
          { status: response.status, retryAfterSeconds: undefined },
          url,
          call.path,
        );
      } else if (event === "return") return;
      else if (event === "connected") {
        const { reconnectAfterInactivityMs } = JSON.parse(data) as { reconnectAfterInactivityMs?: number };
        longestSilenceMs = reconnectAfterInactivityMs ?? longestSilenceMs;
        heard();
        yield "connected";
      }
    }
    throw new MiniMcpError("client.network", `The stream of ${call.path} was cut off.`);
  } catch (error) {
    if (error instanceof MiniMcpError) throw error;
    if (!isSilent) throw unreachable(url, error);
    throw new MiniMcpError("client.timeout", `The stream of ${call.path} fell silent.`, { cause: error });
  } finally {
    clearTimeout(silence);
    call.signal?.removeEventListener("abort", leave);
    leave();
  }
}

function addressOf(
  url: string,
  { path, input, lastId }: { path: string; input: unknown; lastId: string | undefined },
): string {
  const search = new URLSearchParams();
  if (input !== undefined) search.set("input", superjson.stringify(input));
  // Not as a header, which pages of another origin would have to ask for.
  if (lastId !== undefined) search.set("lastEventId", lastId);
  return `${url}/${path}?${search.toString()}`;
}

/** The error in an answer that is no stream. */
async function readRefusal(response: Response, url: string, path: string): Promise<MiniMcpError> {
  const head = { status: response.status, retryAfterSeconds: undefined };
  const body: unknown = await response.json().catch(() => undefined);
  return isRecord(body) ? wireError(body["error"], head, url, path) : foreignAnswer(url, head);
}

function wireError(
  sent: unknown,
  head: { status: number; retryAfterSeconds: undefined },
  url: string,
  path: string,
): MiniMcpError {
  const error: unknown = isRecord(sent) && "json" in sent ? superjson.deserialize(sent as never) : sent;
  const message = isRecord(error) ? String(error["message"]) : "";
  return readWireError({ message, data: isRecord(error) ? error["data"] : undefined }, head, { url, path });
}

/** The events of a stream (HTML Living Standard, section 9.2.6), as far as tRPC makes use of them. */
async function* readEvents(
  body: ReadableStream<Uint8Array>,
  onHeard: () => void,
): AsyncGenerator<{ event: string; id: string | undefined; data: string }, void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let fields: Record<string, string> = {};
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    onHeard();
    const lines = (rest + decoder.decode(value, { stream: true })).split(/\r?\n/);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const colon = line.indexOf(":");
      if (line !== "") fields[line.slice(0, colon)] = line.slice(colon + 1).trimStart();
      else if ("data" in fields) {
        const { event = "message", id, data = "" } = fields;
        fields = {};
        yield { event, id: id === "" ? undefined : id, data };
      }
    }
  }
}
