import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import http, { type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { fileURLToPath } from "node:url";

import next from "next";
import proxyAddress from "proxy-addr";

import { type DashboardSettings, shareDashboardConfig, WrongConfiguration } from "./env.ts";
import { browserAddressHeader } from "./security/browser-address.ts";

export interface RunningDashboard extends AsyncDisposable {
  /** Where browsers reach it. */
  url: string;
}

const limits = { maxHeaderSize: 16 * 1024, headersTimeout: 30_000, requestTimeout: 30_000 };
const directory = fileURLToPath(new URL("..", import.meta.url));
/** Streams of open pages end with their connections; a page comes again by itself. */
const drainMs = 1_000;

/**
 * Serves what `next build` has made. Next's own server would not do: it speaks no TLS, and must be told its port.
 * @throws WrongConfiguration for a certificate that cannot be used
 * @throws Error when nothing is built
 * @throws the system's error when the port is taken
 */
export async function startDashboard(settings: DashboardSettings): Promise<RunningDashboard> {
  if (!existsSync(`${directory}/dist/BUILD_ID`)) {
    throw new Error(
      "The dashboard is not built. Run: node_modules/.bin/turbo run build --filter=@minimcp/dashboard",
    );
  }
  const { HOST, DASHBOARD_PORT, PUBLIC_URL, SESSION_SECRET, HOP_SECRET } = settings;
  const isTrusted = trustOf(settings.TRUSTED_PROXIES);
  let answer: RequestListener = sayNotReady;
  await using resources = new AsyncDisposableStack();
  const server = createServer(settings, (request, response) => answer(request, response));
  server.listen(DASHBOARD_PORT, HOST);
  await once(server, "listening");
  resources.defer(() => closeServer(server));
  const { port } = server.address() as AddressInfo;
  const scheme = settings.TLS_CERT_FILE === undefined ? "http" : "https";
  const url = settings.DASHBOARD_URL ?? `${scheme}://127.0.0.1:${port}`;
  shareDashboardConfig({ PUBLIC_URL, DASHBOARD_URL: url, SESSION_SECRET, HOP_SECRET });

  const app = next({ dev: false, dir: directory, hostname: HOST, port });
  resources.defer(() => app.close());
  await app.prepare();
  const handle = app.getRequestHandler();
  answer = (request, response) => {
    // In place of what the browser may have sent under that name.
    request.headers[browserAddressHeader] = proxyAddress(request, isTrusted);
    handle(request, response).catch((error: unknown) => response.destroy(toError(error)));
  };
  const acquired = resources.move();
  return { url, [Symbol.asyncDispose]: () => acquired.disposeAsync() };
}

function createServer(
  { TLS_CERT_FILE, TLS_KEY_FILE }: DashboardSettings,
  listener: RequestListener,
): http.Server {
  if (TLS_CERT_FILE === undefined || TLS_KEY_FILE === undefined) return http.createServer(limits, listener);
  try {
    const tls = { cert: readFileSync(TLS_CERT_FILE, "utf8"), key: readFileSync(TLS_KEY_FILE) };
    // The API, which the pages call, may show the same certificate, and no authority need have signed it.
    setDefaultCACertificates([...getCACertificates(), tls.cert]);
    // Suites with forward secrecy and authenticated encryption only (ASVS 5.0 section 12.1).
    const suites = {
      minVersion: "TLSv1.2",
      ciphers: "ECDHE+AESGCM:ECDHE+CHACHA20",
      honorCipherOrder: true,
    } as const;
    return https.createServer({ ...limits, ...tls, ...suites }, listener);
  } catch (error) {
    const why = toError(error).message;
    throw new WrongConfiguration(`TLS_CERT_FILE and TLS_KEY_FILE cannot be used (${why})`);
  }
}

/** @throws WrongConfiguration */
function trustOf(proxies: string[]): (address: string, hop: number) => boolean {
  try {
    return proxyAddress.compile(proxies);
  } catch (error) {
    throw new WrongConfiguration(`TRUSTED_PROXIES cannot be used (${toError(error).message})`);
  }
}

async function closeServer(server: http.Server): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeIdleConnections();
  const overdue = setTimeout(() => server.closeAllConnections(), drainMs);
  await closed;
  clearTimeout(overdue);
}

function sayNotReady(_request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(503, { "Retry-After": "1", "Cache-Control": "no-store" });
  response.end();
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
