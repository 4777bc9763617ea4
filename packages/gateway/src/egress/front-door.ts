import { chmod } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createServer as createTlsServer, type Server as TlsServer } from "node:tls";
import { callbackify } from "node:util";

import { headerValues } from "../raw-headers.ts";
import type { EgressLimits } from "./limits.ts";
import { type Authority, readAuthority } from "./read-target.ts";
import { Refusal, type RefusalReason, serializeRefusal } from "./refusal.ts";
import type { Rules } from "./rules.ts";
import type { TlsAuthority } from "./tls-authority.ts";

interface FrontDoorOptions {
  socketPath: string;
  limits: EgressLimits;
  rules: Rules;
  authority: TlsAuthority;
  /** @param connection whom a TLS connection was opened to; null for plain HTTP */
  onRequest: (request: IncomingMessage, response: ServerResponse, connection: Authority | null) => void;
  /** A connection was refused before there was a request. */
  onRefused: (refusal: Refusal, host: string, method: string) => void;
}

/** The type of a TLS record that begins a handshake (RFC 8446 section 5.1); no HTTP method begins with it. */
const tlsHandshake = 0x16;
/** How long a refused connection is still read, so that its end does not reset the answer away (RFC 9112 section 9.6). */
const lingerMs = 500;

/**
 * The child's end of the broker: one Unix socket on which it may speak plain HTTP, CONNECT, or TLS at once. The first
 * byte tells which. Past the door, all three are HTTP/1.1 requests.
 */
export async function openFrontDoor(options: FrontDoorOptions): Promise<AsyncDisposable> {
  const { limits, rules, authority, onRefused } = options;
  const open = new Set<Socket>();
  /** Whom a TLS connection was opened to. */
  const peers = new WeakMap<Duplex, Authority>();
  /** The one open answer of a connection. */
  const answering = new WeakMap<Duplex, ServerResponse>();
  const tlsDoors = new Map<string, TlsServer>();

  const server = createServer({
    insecureHTTPParser: false,
    requireHostHeader: false,
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: Math.max(limits.totalTimeoutMs, limits.headersTimeoutMs),
    keepAliveTimeout: limits.idleTimeoutMs,
    connectionsCheckingInterval: Math.min(1_000, limits.headersTimeoutMs),
  });
  // By default Node drops headers after the 2,000th without a word; their size is bounded already.
  server.maxHeadersCount = 0;
  // Beyond what is refused in words, connections are dropped: the words take a moment each.
  server.maxConnections = limits.connections * 2;
  // What a plain HTTP server does with a connection; here it waits until the first byte has told what comes.
  const [serveHttp] = server.listeners("connection") as ((socket: Duplex) => void)[];
  if (!serveHttp) throw new Error("this Node's HTTP server takes no connections");
  server.removeAllListeners("connection");

  server.on("connection", (socket: Socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    // A reset says nothing that the end of the connection does not say.
    socket.on("error", () => {});
    if (open.size > limits.connections) {
      refuse(socket, new Refusal("tooManyConnections"), "", "");
      return;
    }
    afterFirstByte(socket, (byte) => {
      if (byte === tlsHandshake) tlsDoorTo(null).emit("connection", socket);
      else {
        serveHttp.call(server, socket);
        socket.resume();
      }
    });
  });

  /** Calls back with the first byte, which stays in the stream. */
  function afterFirstByte(socket: Socket, then: (byte: number | undefined) => void): void {
    const destroy = () => socket.destroy();
    socket.setTimeout(limits.headersTimeoutMs, destroy);
    // The server allows half-open connections; one that ended without a word is of no use.
    socket.once("end", destroy);
    socket.once("data", (chunk: Buffer) => {
      socket.setTimeout(0);
      socket.off("timeout", destroy);
      socket.off("end", destroy);
      socket.pause();
      socket.unshift(chunk);
      then(chunk[0]);
    });
  }

  /**
   * Ends TLS with a certificate of the instance's authority.
   *
   * @param peer whom CONNECT named; null where only the handshake names it
   */
  function tlsDoorTo(peer: Authority | null): TlsServer {
    const key = peer ? `${peer.host}:${peer.port}` : "";
    const known = tlsDoors.get(key);
    if (known) return known;
    const door = createTlsServer({
      ALPNProtocols: ["http/1.1"],
      minVersion: "TLSv1.2",
      handshakeTimeout: limits.headersTimeoutMs,
      SNICallback: callbackify(async (servername: string) => await contextOf(servername, peer)),
    });
    door.on("secureConnection", (socket) => {
      if (!socket.servername) {
        socket.destroy();
        return;
      }
      // The HTTP server takes its own listener away from what becomes a tunnel.
      socket.on("error", () => {});
      const { host } = readAuthority(socket.servername);
      peers.set(socket, peer ?? { host, port: rules.portOf(host) });
      serveHttp?.call(server, socket);
    });
    door.on("tlsClientError", (error, socket) => {
      onRefused(error instanceof Refusal ? error : new Refusal("malformedRequest"), peer?.host ?? "", "TLS");
      socket.destroy();
    });
    tlsDoors.set(key, door);
    return door;
  }

  async function contextOf(servername: string, peer: Authority | null) {
    const { host } = readAuthority(servername);
    if (peer && peer.host !== host) throw new Refusal("hostMismatch");
    return await authority.contextFor(host);
  }

  server.on("request", (request, response) => {
    const { socket } = request;
    // Pipelined behind an open request. Node says nothing when the client of a queued answer leaves; RFC 9112
    // section 9.3.2 makes a client try again.
    if (answering.has(socket)) {
      socket.destroy();
      return;
    }
    // Node's parser finds out about other codings only behind the head, when the upstream would already be called.
    const codings = headerValues(request.rawHeaders, "transfer-encoding");
    if (codings.some((coding) => coding.toLowerCase() !== "chunked")) {
      refuse(socket, new Refusal("malformedRequest"), "", request.method ?? "");
      return;
    }
    answering.set(socket, response);
    response.once("close", () => answering.delete(socket));
    options.onRequest(request, response, peers.get(socket) ?? null);
  });
  const refuseExpectation = ({ socket, method = "" }: IncomingMessage) =>
    refuse(socket, new Refusal("expectationFailed"), "", method);
  server.on("checkContinue", refuseExpectation);
  server.on("checkExpectation", refuseExpectation);

  server.on("connect", (request, socket: Duplex, head) => {
    let host = "";
    try {
      // Host is not looked at here: the handshake inside has to name the same host, and each request as well.
      const peer = readAuthority(request.url ?? "");
      ({ host } = peer);
      // A tunnel in a tunnel would hide whom the inner one is for.
      if (peers.has(socket) || peer.port === null) throw new Refusal("targetAmbiguous");
      const reason = rules.judgeConnection(peer);
      if (reason) throw new Refusal(reason);
      socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
      if (head.length > 0) socket.unshift(head);
      afterFirstByte(socket as Socket, (byte) => {
        if (byte === tlsHandshake) tlsDoorTo(peer).emit("connection", socket);
        else refuse(socket, new Refusal("tlsExpected"), host, "CONNECT");
      });
    } catch (error) {
      refuse(socket, error instanceof Refusal ? error : new Refusal("targetAmbiguous"), host, "CONNECT");
    }
  });

  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    const response = answering.get(socket);
    // Refused already: this is the rest of what could not be parsed. Or there is nobody to tell.
    if (socket.writableEnded || response?.writableEnded || error.code === "ECONNRESET") return;
    // Into an answer under way, further bytes would be read as part of it.
    if (!socket.writable || response) {
      socket.destroy();
      return;
    }
    refuse(socket, new Refusal(clientErrors[error.code ?? ""] ?? "malformedRequest"), "", "");
  });

  function refuse(socket: Duplex, refusal: Refusal, host: string, method: string): void {
    onRefused(refusal, host, method);
    socket.end(serializeRefusal(refusal, rules.description));
    socket.resume();
    const timer = setTimeout(() => socket.destroy(), lingerMs);
    socket.once("close", () => clearTimeout(timer));
  }

  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.socketPath, resolve);
  });
  await chmod(options.socketPath, 0o600);

  return {
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of open) socket.destroy();
      }),
  };
}

/** What Node's parser and clocks report, and what the child is told. */
const clientErrors: Readonly<Record<string, RefusalReason>> = {
  HPE_HEADER_OVERFLOW: "headersTooLarge",
  ERR_HTTP_REQUEST_TIMEOUT: "requestTimeout",
};
