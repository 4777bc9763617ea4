import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";

import type { ErrorReason } from "@minimcp/shared";
import superjson from "superjson";

/** A call as the stand-in received it. */
export interface ReceivedCall {
  path: string;
  input: unknown;
  search: URLSearchParams;
  headers: IncomingHttpHeaders;
}

export interface RawAnswer {
  status: number;
  headers?: Record<string, string>;
  body: string;
  /** Whether the answer goes on after its body, with nothing more. */
  hold?: boolean;
}

/** What to do with a call: answer it, cut the connection, or never answer. */
export type Reaction = RawAnswer | "cut" | "hang";

/**
 * A server that shows what a real one cannot be made to: hanging, cut connections, foreign answers, limits. It speaks
 * the wire format of the API.
 */
export async function startStandIn(react: (call: ReceivedCall) => Reaction | Promise<Reaction>) {
  const calls: ReceivedCall[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const url = new URL(request.url ?? "/", "http://stand-in");
      let body = "";
      for await (const chunk of request) body += String(chunk);
      const sent = request.method === "GET" ? url.searchParams.get("input") : body;
      const call: ReceivedCall = {
        path: url.pathname.replace(/^\/trpc\//, ""),
        input: sent === null || sent === "" ? undefined : superjson.parse(sent),
        search: url.searchParams,
        headers: request.headers,
      };
      calls.push(call);
      const reaction = await react(call);
      if (reaction === "hang") return;
      if (reaction === "cut") {
        response.writeHead(200, { "content-length": "1000", "content-type": "application/json" });
        response.write('{"result":', () => response.destroy());
        return;
      }
      response.writeHead(reaction.status, { "content-type": "application/json", ...reaction.headers });
      if (reaction.hold) response.write(reaction.body);
      else response.end(reaction.body);
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    calls,
    openConnections: () =>
      new Promise<number>((resolve) => server.getConnections((_, count) => resolve(count))),
    countOf: (path: string) => calls.filter((call) => call.path === path).length,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function output(data: unknown): RawAnswer {
  return { status: 200, body: JSON.stringify({ result: { data: superjson.serialize(data) } }) };
}

const statuses: Partial<Record<string, number>> = {
  "auth.busy": 503,
  "auth.refreshTokenInvalid": 401,
  "auth.sessionEnded": 401,
  "auth.tokenExpired": 401,
  "input.invalid": 400,
  "input.notFound": 404,
  "mcp.notFound": 404,
  "server.internal": 500,
  "server.unavailable": 503,
};

export function refusal(
  reason: ErrorReason,
  data: { httpStatus?: number; issues?: unknown[]; retryAfterSeconds?: number } = {},
): RawAnswer {
  const status = data.httpStatus ?? statuses[reason] ?? 400;
  const error = {
    code: -32000,
    message: `refused for ${reason}`,
    data: {
      code: "ANY",
      httpStatus: status,
      path: "any",
      reason,
      issues: [],
      requestId: "req-1",
      retryAfterSeconds: null,
      ...data,
    },
  };
  return { status, body: JSON.stringify({ error: superjson.serialize(error) }) };
}

/** The tokens of generation n, which live for 15 minutes. */
export function tokenPair(generation: number, accessTokenExpiresInSeconds = 900) {
  return {
    accessToken: `access-${generation}`,
    accessTokenExpiresInSeconds,
    refreshToken: `refresh-${generation}`,
    refreshTokenExpiresAt: new Date("2001-01-01"),
  };
}
