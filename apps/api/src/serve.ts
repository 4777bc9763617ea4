import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";

import type { ApiConfig } from "./env.ts";

/** Larger headers are refused with 431: nothing the API reads needs more. */
const maxHeaderBytes = 16 * 1024;
const requestTimeoutMs = 30_000;

/** AEAD suites with forward secrecy only; TLS 1.3 brings its own. */
const cipherSuites = [
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
].join(":");

export interface Listening extends AsyncDisposable {
  server: http.Server | https.Server;
  port: number;
}

/**
 * Listens as the configuration says. Requests are answered with 503 until a listener is added.
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
  const { TLS_CERT_FILE: cert, TLS_KEY_FILE: key } = config;
  const server =
    cert === undefined || key === undefined
      ? http.createServer(common)
      : https.createServer({
          ...common,
          cert: readFileSync(cert),
          key: readFileSync(key),
          minVersion: "TLSv1.2",
          ciphers: `TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:${cipherSuites}`,
          honorCipherOrder: true,
        });
  server.listen(config.API_PORT, config.HOST);
  await once(server, "listening");
  return {
    server,
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      server.closeIdleConnections();
      // A client that does not finish its request must not keep the process.
      const forced = setTimeout(() => server.closeAllConnections(), 5_000);
      await closed;
      clearTimeout(forced);
    },
  };
}
