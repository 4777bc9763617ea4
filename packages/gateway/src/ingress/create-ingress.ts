import http, { type IncomingMessage, type Server, type ServerResponse } from "node:http";
import https from "node:https";
import type { Duplex } from "node:stream";

import { problem, type ProblemReason, Refused, retryAfter, send, serialize } from "./answer.ts";
import { relayCall } from "./call.ts";
import { judgeHost, judgeOrigin, preflight } from "./callers.ts";
import { defaultLimits, type IngressLimits } from "./limits.ts";
import type { IngressOptions, RelayedMethod } from "./options.ts";
import { takeTurns } from "./take-turns.ts";
import { Upstreams } from "./upstreams.ts";

export interface Ingress {
  /** Not listening: the caller chooses the address. */
  server: Server;
  /** Requests under way. */
  active(): number;
  /**
   * Accepts nothing more, waits at most `drainMs` for open calls, then cuts them.
   *
   * @param signal aborts to cut at once
   */
  close(signal?: AbortSignal): Promise<void>;
}

/** The instance id is only a key for the look-up; anything else in its place is no address of ours. */
const instancePath = /^\/mcp\/([0-9A-Za-z_-]{1,64})$/;

/** How long a connection that was refused is still read. */
const lingerMs = 500;

/**
 * The client's door of an instance: an authenticated, transparent HTTP relay to the child's Unix socket. It relays
 * and does not terminate MCP, so both protocol eras pass through it alike.
 */
export function createIngress(options: IngressOptions): Ingress {
  const limits: IngressLimits = { ...defaultLimits, ...options.limits };
  const upstreams = new Upstreams();
  const context = { options, limits, upstreams, inTurn: takeTurns() };
  /** The one open response of a connection. */
  const open = new WeakMap<Duplex, ServerResponse>();
  const active = new Set<Promise<void>>();
  let isClosing = false;

  const settings = {
    insecureHTTPParser: false,
    requireHostHeader: true,
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    connectionsCheckingInterval: Math.min(1_000, limits.headersTimeoutMs),
    keepAliveTimeout: limits.idleTimeoutMs,
    // A client whose machine vanished sends no FIN; TCP's own probes find out and end its call.
    keepAlive: true,
    keepAliveInitialDelay: 30_000,
  };
  const server =
    options.tls === undefined
      ? http.createServer(settings)
      : https.createServer({ ...settings, ...options.tls });
  // By default Node drops headers after the 2,000th without a word; their size is bounded already.
  server.maxHeadersCount = 0;
  server.on("request", (request, response) => {
    // Pipelined behind an open call. Node says nothing when the client of a queued response leaves, so its call would
    // never end; no MCP client pipelines, and RFC 9112 section 9.3.2 makes one try again.
    if (open.has(request.socket)) {
      request.socket.destroy();
      return;
    }
    open.set(request.socket, response);
    response.once("close", () => {
      open.delete(request.socket);
      if (isClosing) setImmediate(() => server.closeIdleConnections());
    });
    const answered = answer(request, response).finally(() => active.delete(answered));
    active.add(answered);
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    // Refused already: this is the rest of what could not be parsed.
    if (socket.writableEnded) return;
    const response = open.get(socket);
    // Into a response that has begun, further bytes would be read as part of it.
    if (!socket.writable || response?.headersSent) {
      socket.destroy();
      return;
    }
    socket.end(serialize(problem(clientErrors[error.code ?? ""] ?? "malformedRequest")), () => {
      if (response) socket.destroy();
    });
    // RFC 9112 section 9.6: to close on a client that still sends would reset the connection under the answer.
    const timer = setTimeout(() => socket.destroy(), lingerMs);
    socket.once("close", () => clearTimeout(timer));
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path, query] = splitTarget(request.url ?? "");
    const instanceId = instancePath.exec(path)?.[1] ?? null;
    let extraHeaders: readonly string[] = [];
    try {
      judgeHost(request, options.allowedHosts);
      extraHeaders = judgeOrigin(request, options.allowedOrigins);
      if (isClosing)
        throw new Refused(problem("closing", { headers: [...retryAfter(1), "Connection", "close"] }));
      if (instanceId === null) return answerHealth(path, request, response, extraHeaders);

      const { method = "" } = request;
      if (method === "OPTIONS" && extraHeaders.length > 0) {
        return send(response, preflight(request), extraHeaders);
      }
      if (!isRelayed(method)) throw new Refused(methodNotAllowed("POST, GET, DELETE"));
      await relayCall(context, { instanceId, method, query, request, response, extraHeaders });
    } catch (error) {
      // Who went away is told nothing, and is no error.
      if (response.destroyed) return;
      const cause = error instanceof Refused ? error.cause : error;
      if (cause !== undefined) options.onError?.(cause, instanceId);
      send(response, error instanceof Refused ? error.answer : problem("internal"), extraHeaders);
    }
  }

  function answerHealth(
    path: string,
    request: IncomingMessage,
    response: ServerResponse,
    extraHeaders: readonly string[],
  ): void {
    if (path !== "/healthz" && path !== "/readyz") throw new Refused(problem("notFound"));
    if (request.method !== "GET" && request.method !== "HEAD")
      throw new Refused(methodNotAllowed("GET, HEAD"));
    if (path === "/readyz" && options.ready?.() === false) throw new Refused(problem("notReady"));
    send(response, { status: 200, headers: ["Content-Type", "text/plain"], body: "ok\n" }, extraHeaders);
  }

  const cut = () => server.closeAllConnections();

  return {
    server,
    active: () => active.size,
    async close(signal) {
      isClosing = true;
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      if (signal?.aborted) cut();
      const timer = setTimeout(cut, limits.drainMs);
      signal?.addEventListener("abort", cut, { once: true });
      await closed;
      clearTimeout(timer);
      signal?.removeEventListener("abort", cut);
      // Every call has been counted when this returns.
      await Promise.all(active);
      await upstreams[Symbol.asyncDispose]();
    },
  };
}

function splitTarget(target: string): [path: string, query: string] {
  const at = target.indexOf("?");
  return at < 0 ? [target, ""] : [target.slice(0, at), target.slice(at + 1)];
}

function isRelayed(method: string): method is RelayedMethod {
  return method === "POST" || method === "GET" || method === "DELETE";
}

function methodNotAllowed(allow: string) {
  return problem("methodNotAllowed", { headers: ["Allow", allow] });
}

/** What Node's parser and clocks report, and what the client is told. */
const clientErrors: Readonly<Record<string, ProblemReason>> = {
  HPE_HEADER_OVERFLOW: "headersTooLarge",
  HPE_CHUNK_EXTENSIONS_OVERFLOW: "requestTooLarge",
  ERR_HTTP_REQUEST_TIMEOUT: "requestTimeout",
};
