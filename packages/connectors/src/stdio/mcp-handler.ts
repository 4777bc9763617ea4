import type { IncomingMessage, ServerResponse } from "node:http";

import { type NodeIncomingMessageLike, toNodeHandler } from "@modelcontextprotocol/node";
import {
  createMcpHandler,
  isSpecType,
  type JSONRPCRequest,
  type McpRequestContext,
  Server,
  type ServerContext,
  type ServerOptions,
} from "@modelcontextprotocol/server";

import type { ChildHello, ChildLink } from "./child-link.ts";
import { type JsonObject, methodNotFound, RpcError } from "./json-rpc.ts";

const supportedProtocolVersions = ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26"];

/** Methods whose effect is remembered for one client: without sessions they would change all clients' server. */
const sessionMethods: ReadonlySet<string> = new Set([
  "logging/setLevel",
  "resources/subscribe",
  "resources/unsubscribe",
]);

/** The methods that every server has once it announces the capability: an unknown one is the client's mistake. */
const knownMethod = /^(tools|prompts|resources|completion|tasks)\//;

export interface McpHttpHandler {
  handle: (request: IncomingMessage, response: ServerResponse) => Promise<void>;
  /** Passes a server's "list changed" on to the clients that listen (2026-07-28 `subscriptions/listen`). */
  announceListChange: (method: string) => void;
  /** Ends open `subscriptions/listen` streams with their final result. */
  close: () => Promise<void>;
}

/**
 * Serves one stdio server over HTTP to clients of both protocol eras, without sessions: 2025-era clients get
 * stateless Streamable HTTP, 2026-07-28 clients its request envelope.
 *
 * It checks neither Host, Origin nor tokens: only the worker can reach its socket, and that is the worker's part.
 */
export function createStdioMcpHandler(
  link: ChildLink,
  hello: ChildHello,
  log: (line: string) => void,
): McpHttpHandler {
  const options = {
    legacy: createServerOptions(hello, "legacy"),
    modern: createServerOptions(hello, "modern"),
  };
  const unknownMethods = new WeakSet<Request>();

  const createServer = ({ era, requestInfo }: McpRequestContext): Server => {
    const server = new Server(hello.serverInfo, options[era]);
    server.fallbackRequestHandler = async (request, context) => {
      try {
        return await forward(link, request, context);
      } catch (error) {
        const isUnknown = error instanceof RpcError && error.code === methodNotFound;
        if (isUnknown && era === "modern" && requestInfo && !knownMethod.test(request.method)) {
          unknownMethods.add(requestInfo);
        }
        throw error;
      }
    };
    return server;
  };
  const mcp = createMcpHandler(createServer, { onerror: (error) => log(error.message) });

  const handle = toNodeHandler({
    async fetch(request) {
      if (request.method !== "POST") return mcp.fetch(request);
      const body = parseJson(await request.text());
      if (body === undefined) return refuse(-32700, "The request body is not JSON");
      // Only 2025-03-26 had batches. Refused in all eras: a policy that judges one call must not meet ten.
      if (Array.isArray(body)) return refuse(-32600, "Batches are not served; send one message a request");
      const response = await mcp.fetch(request, { parsedBody: body });
      if (!unknownMethods.has(request) || response.status !== 200) return response;
      // 2026-07-28: an unknown method is HTTP 404. The SDK cannot know that the server behind it has none.
      return new Response(response.body, { status: 404, headers: response.headers });
    },
  });

  return {
    handle: (request, response) => handle(request as NodeIncomingMessageLike, response),
    announceListChange(method) {
      if (method === "notifications/tools/list_changed") mcp.notify.toolsChanged();
      if (method === "notifications/prompts/list_changed") mcp.notify.promptsChanged();
      if (method === "notifications/resources/list_changed") mcp.notify.resourcesChanged();
    },
    close: () => mcp.close(),
  };
}

async function forward(
  link: ChildLink,
  request: JSONRPCRequest,
  context: ServerContext,
): Promise<JsonObject> {
  if (sessionMethods.has(request.method)) {
    throw new RpcError(methodNotFound, `${request.method} needs a session, and this endpoint keeps none`);
  }
  const { signal, notify, log } = context.mcpReq;
  return link.request(request.method, request.params, {
    signal,
    onNotification(method, params) {
      // Delivery fails when the client left meanwhile; the signal ends the request then.
      if (method === "notifications/progress") notify({ method, params }).catch(() => {});
      else if (isSpecType.LoggingMessageNotificationParams(params)) {
        log(params.level, params.data, params.logger).catch(() => {});
      }
    },
  });
}

/**
 * The server's capabilities less what cannot be delivered without sessions: 2025-era clients get no list
 * changes (there is no GET stream) and no logging (a level is remembered for a session); nobody subscribes to
 * a resource, since updates of the shared server name no client.
 */
function createServerOptions(hello: ChildHello, era: "legacy" | "modern"): ServerOptions {
  const { logging, ...capabilities } = hello.capabilities;
  for (const feature of ["tools", "prompts", "resources"] as const) {
    const announced: { listChanged?: boolean | undefined; subscribe?: boolean | undefined } | undefined =
      capabilities[feature];
    if (announced === undefined) continue;
    const { listChanged, subscribe: _, ...rest } = announced;
    capabilities[feature] = era === "modern" && listChanged ? { ...rest, listChanged } : rest;
  }
  return {
    capabilities: era === "modern" && logging ? { ...capabilities, logging } : capabilities,
    supportedProtocolVersions,
    ...(hello.instructions !== undefined && { instructions: hello.instructions }),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refuse(code: number, message: string): Response {
  return Response.json({ jsonrpc: "2.0", id: null, error: { code, message } }, { status: 400 });
}
