import { randomUUID, timingSafeEqual } from "node:crypto";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { isIP } from "node:net";

import type { Authenticator, RequestOrigin } from "@minimcp/core";
import { answerFor, appRouter, type RouterContext } from "@minimcp/router";
import { TRPCError } from "@trpc/server";
import { createHTTPHandler } from "@trpc/server/adapters/standalone";
import helmet from "helmet";
import type { Logger } from "pino";
import proxyAddress from "proxy-addr";

/** The most that a call may carry. */
const maxBodyBytes = 100 * 1024;
/** The most calls in one HTTP request; each still counts as one. */
const maxBatchSize = 10;

export interface HandlerOptions {
  /** Everything a call needs besides itself. */
  services: Omit<RouterContext, "authenticate" | "request">;
  authenticator: Authenticator;
  /** Whether the API can do its work now. */
  ready(): Promise<boolean>;
  /** Values of the Host header that are served; others could be a browser tricked by DNS (rebinding). */
  allowedHosts: ReadonlySet<string>;
  trustedProxies: readonly string[];
  /**
   * Who sends it as `x-minimcp-hop` is the dashboard, and says in `x-minimcp-browser-address` for whom it calls. Not in
   * X-Forwarded-For: a proxy between the two adds to that, or replaces it.
   */
  hopSecret?: string | undefined;
  /** The reader of a stream that takes nothing for so long is cut off. One that reads has at least the pings to read. */
  stalledStreamMs: number;
  log: Logger;
}

/** The API as a request listener: procedures under /trpc, health, and nothing else. */
export function createHandler(options: HandlerOptions): RequestListener {
  const { services, log, allowedHosts } = options;
  const secure = helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { "default-src": ["'none'"], "frame-ancestors": ["'none'"] },
    },
    strictTransportSecurity: { maxAge: 31_536_000, includeSubDomains: true },
    xFrameOptions: { action: "deny" },
    referrerPolicy: { policy: "no-referrer" },
  });
  const isTrusted = proxyAddress.compile([...options.trustedProxies]);
  const isDashboard = createHopCheck(options.hopSecret);

  function describe(request: IncomingMessage, id: string): RequestOrigin {
    const { "user-agent": userAgent, "x-minimcp-browser-address": browserAddress } = request.headers;
    // By its proof and not by its address, which other programs of the same machine have as well.
    const address = isDashboard(request) ? String(browserAddress) : proxyAddress(request, isTrusted);
    return { id, ipAddress: plainAddress(address), userAgent: userAgent ?? null };
  }

  const procedures = createHTTPHandler({
    router: appRouter,
    basePath: "/trpc/",
    maxBodySize: maxBodyBytes,
    maxBatchSize,
    // tRPC would take forms and bytes too; no procedure does, and a page of another origin can send them unasked.
    middleware: (request, _response, next) =>
      next(isJsonOrEmpty(request) ? undefined : new TRPCError({ code: "UNSUPPORTED_MEDIA_TYPE" })),
    createContext({ req, res, info }): RouterContext {
      if (info.type === "subscription") res.setTimeout(options.stalledStreamMs);
      return {
        ...services,
        request: describe(req, requestIdOf(res)),
        authenticate: () =>
          options.authenticator.authenticate(req.headers.authorization, {
            isUse: info.type !== "subscription",
          }),
      };
    },
    responseMeta({ errors, info }) {
      if (info?.type === "subscription") return { headers: { "cache-control": "no-store, no-transform" } };
      if (errors.length === 0) return {};
      const waits = errors.flatMap((error) => answerFor(error).retryAfterSeconds ?? []);
      return {
        headers: {
          // tRPC forgets it where it refuses a request as a whole.
          "content-type": "application/json",
          ...(waits.length === 0 ? {} : { "retry-after": String(Math.max(...waits)) }),
        },
      };
    },
  });

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader("cache-control", "no-store");
    response.setHeader("permissions-policy", "geolocation=(), microphone=(), camera=()");
    const path = URL.parse(request.url ?? "/", "http://localhost")?.pathname;
    if (path === undefined)
      return problem(response, 400, "Malformed address", "The request's path cannot be read.");
    if (path === "/healthz") return answer(response, 200, { status: "ok" });
    if (!allowedHosts.has((request.headers.host ?? "").toLowerCase())) {
      return problem(
        response,
        403,
        "Foreign host",
        "This server does not answer for the host in the request.",
      );
    }
    if (path === "/readyz") {
      const ready = await options.ready();
      return answer(response, ready ? 200 : 503, { status: ready ? "ready" : "unavailable" });
    }
    if (path.startsWith("/trpc/")) return procedures(withInput(request), response);
    return problem(response, 404, "Not found", "There is nothing here. The procedures are under /trpc.");
  }

  return (request, response) => {
    const startedAt = performance.now();
    const id = requestIdFrom(request);
    response.setHeader("x-request-id", id);
    response.once("close", () => {
      const durationMs = Math.round(performance.now() - startedAt);
      // The path without its query: inputs of queries travel there.
      const path = (request.url ?? "").split("?", 1)[0];
      log.debug(
        { requestId: id, method: request.method, path, status: response.statusCode, durationMs },
        "request",
      );
    });
    secure(request, response, () => {
      handle(request, response).catch((error: unknown) => {
        log.error({ err: error, requestId: id }, "a request failed");
        if (response.headersSent) response.destroy();
        else problem(response, 500, "Internal error", `Something went wrong. Its id is ${id}.`);
      });
    });
  };
}

/** The caller's id where it is a plain one, so that their log and ours can be put side by side; else a new one. */
function requestIdFrom(request: IncomingMessage): string {
  const given = request.headers["x-request-id"];
  return typeof given === "string" && /^[A-Za-z0-9_-]{8,64}$/.test(given) ? given : randomUUID();
}

function requestIdOf(response: ServerResponse): string {
  return String(response.getHeader("x-request-id"));
}

/** Where a call came from; null where a proxy passes on what is no address, which the audit trail could not store. */
function plainAddress(address: string | undefined): string | null {
  // A link-local address names this machine's interface behind a %.
  const plain = address?.replace(/%.*$/, "") ?? "";
  return isIP(plain) === 0 ? null : plain;
}

function createHopCheck(hopSecret: string | undefined): (request: IncomingMessage) => boolean {
  if (hopSecret === undefined) return () => false;
  const expected = Buffer.from(hopSecret);
  return ({ headers: { "x-minimcp-hop": given } }) =>
    typeof given === "string" &&
    given.length === expected.length &&
    timingSafeEqual(Buffer.from(given), expected);
}

function isJsonOrEmpty(request: IncomingMessage): boolean {
  const mediaType = request.headers["content-type"]?.split(";", 1)[0]?.trim().toLowerCase();
  return mediaType === undefined || mediaType === "application/json";
}

/** Without a body, a call has no input; tRPC would try to parse the emptiness. */
function withInput(request: IncomingMessage): IncomingMessage {
  const { "content-length": length = "0", "transfer-encoding": encoding } = request.headers;
  return length === "0" && encoding === undefined ? Object.assign(request, { body: "{}" }) : request;
}

function answer(response: ServerResponse, status: number, body: unknown, type = "application/json"): void {
  response.writeHead(status, { "content-type": type });
  response.end(JSON.stringify(body));
}

/** RFC 9457. */
function problem(response: ServerResponse, status: number, title: string, detail: string): void {
  answer(response, status, { type: "about:blank", title, status, detail }, "application/problem+json");
}
