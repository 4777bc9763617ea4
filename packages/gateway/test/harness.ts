import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import {
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { tmpdir } from "node:os";
import { join } from "node:path";

import {
  createIngress,
  type CallRecord,
  type IngressOptions,
  type Target,
  type Verdict,
} from "../src/index.ts";

export const token = `mcp_${"A".repeat(49)}`;
export const otherToken = `mcp_${"B".repeat(49)}`;
/** Well-formed to the eye, refused by its checksum. */
export const damagedToken = `mcp_${"x".repeat(49)}`;
export const host = "gateway.test:5001";
export const dashboard = "http://127.0.0.1:3000";

export const ping = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "ping" });

export interface House extends AsyncDisposable {
  port: number;
  ingress: ReturnType<typeof createIngress>;
  socketPath: string;
  calls: CallRecord[];
  errors: unknown[];
  /** Ends the lease of instance `one`. */
  lease: AbortController;
}

/** What a child does with a request. */
type Child = (request: IncomingMessage, response: ServerResponse) => unknown;

/** A real ingress in front of a real child: an HTTP server on a Unix socket. Instance `one` belongs to `token`. */
export async function openHouse(
  child: Child,
  options: Partial<IngressOptions> & { target?: Partial<Target>; verdict?: () => Verdict } = {},
): Promise<House> {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), "gw-"));
  stack.defer(() => rm(directory, { recursive: true }));
  const socketPath = join(directory, "child.sock");
  const upstream = createServer((request, response) => {
    void child(request, response);
  });
  await new Promise<void>((resolve) => upstream.listen(socketPath, resolve));
  stack.defer(
    () =>
      new Promise<void>((resolve) => {
        upstream.close(() => resolve());
        upstream.closeAllConnections();
      }),
  );

  const lease = new AbortController();
  const calls: CallRecord[] = [];
  const errors: unknown[] = [];
  const target: Target = {
    instanceId: "one",
    socket: async () => socketPath,
    ended: lease.signal,
    ...options.target,
  };
  const { target: _, verdict, ...rest } = options;
  const ingress = createIngress({
    digestToken: (given) =>
      /^mcp_[A-Z0-9][0-9A-Za-z]{48}$/.test(given) ? createHash("sha256").update(given).digest() : null,
    authorize: async ({ instanceId, tokenDigest }) => {
      const isKnown = tokenDigest.equals(createHash("sha256").update(token).digest()) && instanceId === "one";
      if (!isKnown) return { kind: "refused", reason: "unknown" };
      return verdict?.() ?? { kind: "admitted", target };
    },
    allowedHosts: [host],
    allowedOrigins: [dashboard],
    onCall: (record) => calls.push(record),
    onError: (cause) => errors.push(cause),
    ...rest,
  });
  await new Promise<void>((resolve) => ingress.server.listen(0, "127.0.0.1", resolve));
  stack.defer(() => ingress.close(AbortSignal.abort()));
  const address = ingress.server.address();
  if (address === null || typeof address === "string") throw new Error("the gateway has no port");
  const resources = stack.move();
  return {
    port: address.port,
    ingress,
    socketPath,
    calls,
    errors,
    lease,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

export interface Answered {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  problem: Record<string, unknown>;
}

export interface Asked {
  method?: string;
  path?: string;
  headers?: Record<string, string | string[]>;
  body?: string | Buffer;
  signal?: AbortSignal;
}

/** Sends one well-formed call of instance `one`, except for what is given, and returns as soon as there is a head. */
export function open(house: House, asked: Asked = {}): Promise<IncomingMessage> {
  const { method = "POST", path = "/mcp/one", body = method === "POST" ? ping : undefined, signal } = asked;
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      {
        agent: false,
        port: house.port,
        host: "127.0.0.1",
        method,
        path,
        ...(signal && { signal }),
        headers: {
          host,
          authorization: `Bearer ${token}`,
          ...(body !== undefined && {
            "content-type": "application/json",
            "content-length": Buffer.byteLength(body),
          }),
          ...asked.headers,
        },
      },
      resolve,
    );
    request.once("error", reject);
    request.end(body);
  });
}

export async function ask(house: House, asked: Asked = {}): Promise<Answered> {
  const response = await open(house, asked);
  const body = await text(response);
  const isJson = response.headers["content-type"]?.includes("json") ?? false;
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    text: body,
    problem: isJson && body !== "" ? JSON.parse(body) : {},
  };
}

/** The chunks of a response as they arrive. */
export function chunksOf(response: IncomingMessage): AsyncIterable<Buffer> {
  return response;
}

/**
 * Sends bytes as they are and returns all that comes back until the gateway closes.
 *
 * @param further sent as soon as an answer has begun
 */
export function sendRaw(house: House, bytes: string, further = ""): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = "";
    const socket = connect(house.port, "127.0.0.1", () => socket.write(bytes));
    socket.setTimeout(10_000, () => socket.destroy(new Error(`no end after: ${received}`)));
    socket.once("data", () => socket.write(further));
    socket.on("data", (chunk) => (received += chunk.toString()));
    socket.once("error", reject);
    socket.once("close", () => resolve(received));
  });
}
