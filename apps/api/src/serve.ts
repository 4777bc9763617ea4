import { once } from "node:events";
import http, { type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";

import { readTls } from "@minimcp/core";

import type { ApiConfig } from "./env.ts";

/** Larger headers are refused with 431: nothing the API reads needs more. */
const maxHeaderBytes = 16 * 1024;
const requestTimeoutMs = 30_000;

export interface Listening extends AsyncDisposable {
  port: number;
  /** Answers requests with this listener from now on. */
  serve: (listener: RequestListener) => void;
}

/**
 * Listens as the configuration says. Requests are answered with 503 until there is something to serve.
 * @throws the system's error when the address is taken or the certificate cannot be read
 */
export async function listen(
  config: Pick<ApiConfig, "HOST" | "API_PORT" | "TLS_CERT_FILE" | "TLS_KEY_FILE">,
): Promise<Listening> {
  const common = {
    maxHeaderSize: maxHeaderBytes,
    requestTimeout: requestTimeoutMs,
    headersTimeout: requestTimeoutMs,
  };
  const tls = readTls(config);
  const server = tls === undefined ? http.createServer(common) : https.createServer({ ...common, ...tls });
  let listener: RequestListener = sayNotReady;
  server.on("request", (request, response) => listener(request, response));
  server.listen(config.API_PORT, config.HOST);
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    serve: (served) => {
      listener = served;
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      // Again and again: a connection whose answer ends only now is kept for a next request that cannot come.
      const idle = setInterval(() => server.closeIdleConnections(), 20);
      // A client that does not finish its request must not keep the process.
      const forced = setTimeout(() => server.closeAllConnections(), 5_000);
      await closed;
      clearInterval(idle);
      clearTimeout(forced);
    },
  };
}

function sayNotReady(_request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(503, { "retry-after": "1", "cache-control": "no-store" });
  response.end();
}
