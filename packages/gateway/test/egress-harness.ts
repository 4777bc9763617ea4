import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import {
  type ClientRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as httpRequest,
  type RequestOptions,
  type ServerResponse,
} from "node:http";
import { createServer, request as httpsRequest } from "node:https";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { connect as connectTls } from "node:tls";
import { callbackify } from "node:util";

import { createTlsAuthority } from "../src/egress/tls-authority.ts";
import { type Broker, type BrokerOptions, type Decision, type EgressRule, openBroker } from "../src/index.ts";

export const github = "api.github.test";
export const other = "uploads.github.test";
/** What stands for a user's key. It may be nowhere but in what the upstream got. */
export const canary = "ghp_canary0123456789abcdefghijklmnopqrs";

export const everything: EgressRule[] = [github, other].map((host) => ({
  host,
  port: 443,
  methods: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
  pathPrefixes: ["/"],
}));

export const bearer = { hosts: [github], scheme: "bearer" } as const;
export const tokenForm = { prefix: "ghp_", length: 40 } as const;

export type Handler = (request: IncomingMessage, response: ServerResponse) => unknown;

export interface Upstream extends AsyncDisposable {
  port: number;
  certificateAuthority: string;
  /** Connections taken so far. */
  connections(): number;
}

/** An HTTPS server on loopback that has a certificate for whatever name it is asked by. */
export async function openUpstream(
  handler: Handler,
  certify: (name: string) => string = (name) => name,
): Promise<Upstream> {
  const authority = await createTlsAuthority(Date.now);
  let connections = 0;
  const server = createServer(
    {
      SNICallback: callbackify((name: string) => authority.contextFor(certify(name))),
    },
    (request, response) => void handler(request, response),
  );
  server.on("connection", () => connections++);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the upstream has no port");
  return {
    port: address.port,
    certificateAuthority: authority.certificate,
    connections: () => connections,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

export interface Seen {
  host: string;
  url: string;
  headers: IncomingHttpHeaders;
}

/** Stands in for the real upstreams behind TLS: writes down each request, and passes it on to the fake of its host. */
export function routeTo(fakes: Readonly<Record<string, string>>, seen: Seen[]): Handler {
  return (request, response) => {
    const { method, url = "", headers } = request;
    const { host = "" } = headers;
    seen.push({ host, url, headers });
    const onward = httpRequest(`${fakes[host]}${url}`, { method, headers, agent: false }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    request.pipe(onward);
  };
}

export interface Egress extends AsyncDisposable {
  broker: Broker;
  upstream: Upstream;
  decisions: Decision[];
  errors: unknown[];
}

/** A real broker in front of a real TLS upstream that answers for both hosts. */
export async function openEgress(
  handler: Handler,
  options: Partial<BrokerOptions> & { certify?: (name: string) => string; loopbackHosts?: string[] } = {},
): Promise<Egress> {
  const { certify, loopbackHosts = [github, other], ...rest } = options;
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), "eg-"));
  stack.defer(() => rm(directory, { recursive: true }));
  const upstream = stack.use(await openUpstream(handler, certify));
  const decisions: Decision[] = [];
  const errors: unknown[] = [];
  const broker = stack.use(
    await openBroker({
      socketPath: join(directory, "egress.sock"),
      rules: everything,
      credential: { inject: bearer, placeholder: null, read: async () => Buffer.from(canary) },
      loopbackUpstreams: Object.fromEntries(loopbackHosts.map((host) => [host, upstream])),
      record: (decision) => decisions.push(decision),
      onError: (cause) => errors.push(cause),
      ...rest,
    }),
  );
  const resources = stack.move();
  return { broker, upstream, decisions, errors, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

export interface Answered {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  /** The reason of the broker's own answer. */
  reason: string | undefined;
}

export interface Asked {
  method?: string;
  path?: string;
  /** The host that is meant; default `api.github.test`. */
  host?: string;
  headers?: Record<string, string | string[]>;
  body?: string | Buffer;
  signal?: AbortSignal;
  /** Default `plain`. */
  way?: Way;
}

export type Way = "plain" | "connect" | "tls";
export const ways: readonly Way[] = ["plain", "connect", "tls"];

/** Sends one request through the broker and returns as soon as there is a head. */
export async function open(egress: Egress, asked: Asked = {}): Promise<IncomingMessage> {
  const request = await begin(egress, asked);
  request.end(asked.body);
  const [response] = (await once(request, "response")) as [IncomingMessage];
  return response;
}

/** Opens a request through the broker; the caller sends its body. */
export async function begin(egress: Egress, asked: Asked = {}): Promise<ClientRequest> {
  const { socketPath, caCertificate: ca } = egress.broker;
  const { host = github, way = "plain", method = "GET", path = "/", body, signal } = asked;
  const options: RequestOptions = {
    agent: false,
    method,
    path,
    headers: {
      host,
      ...(body !== undefined && { "content-length": Buffer.byteLength(body) }),
      ...asked.headers,
    },
    ...(signal && { signal }),
  };
  switch (way) {
    case "plain":
      return httpRequest({ ...options, socketPath });
    case "tls":
      return httpsRequest({ ...options, socketPath, ca, servername: host });
    case "connect": {
      const socket = await openTunnel(egress, `${host}:443`);
      const secure = connectTls({ socket, servername: host, ca, ALPNProtocols: ["http/1.1"] });
      return httpRequest({ ...options, agent: undefined, createConnection: () => secure });
    }
  }
}

/** @throws the broker's answer as text, when it refuses the tunnel */
export async function openTunnel(egress: Egress, to: string): Promise<Socket> {
  const request = httpRequest({
    socketPath: egress.broker.socketPath,
    method: "CONNECT",
    path: to,
    agent: false,
  });
  request.end();
  const [response, socket, head] = (await once(request, "connect")) as [IncomingMessage, Socket, Buffer];
  if (response.statusCode === 200) return socket;
  let body = head.toString();
  socket.on("data", (chunk: Buffer) => (body += chunk.toString()));
  await once(socket, "close");
  throw new Error(`${response.statusCode} ${String(response.headers["x-minimcp-egress"])} ${body}`);
}

export async function ask(egress: Egress, asked: Asked = {}): Promise<Answered> {
  const response = await open(egress, asked);
  const body = await text(response);
  const isOwn = response.headers["x-minimcp-egress"] !== undefined;
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    text: body,
    reason: isOwn && body !== "" ? JSON.parse(body).error.reason : undefined,
  };
}

/** Sends bytes as they are and returns all that comes back until the broker closes. */
export function sendRaw(egress: Egress, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = "";
    const socket = connect(egress.broker.socketPath, () => socket.write(bytes, "latin1"));
    socket.setTimeout(20_000, () => socket.destroy(new Error(`no end after: ${received}`)));
    socket.on("data", (chunk) => (received += chunk.toString()));
    socket.once("error", reject);
    socket.once("close", () => resolve(received));
  });
}
