import { once } from "node:events";
import { rm } from "node:fs/promises";
import http, { type ServerResponse } from "node:http";

import type { ProductStatus } from "./product-status.ts";

export interface ControlServer extends AsyncDisposable {
  /** Passes a line on to whoever asked for the end and waits for it. */
  report(line: string): void;
}

/**
 * Answers `minimcp status` and `minimcp stop` on a Unix socket that only this user can reach. The caller holds the
 * home's lock, so a socket that is there already is a dead one's.
 */
export async function serveControl(
  path: string,
  product: { status(): ProductStatus; stop(): void },
): Promise<ControlServer> {
  const waiting = new Set<ServerResponse>();
  const server = http.createServer((request, response) => {
    switch (`${request.method} ${request.url}`) {
      case "GET /status":
        response.setHeader("content-type", "application/json").end(JSON.stringify(product.status()));
        return;
      case "POST /stop":
        response.setHeader("content-type", "application/x-ndjson").flushHeaders();
        waiting.add(response);
        response.once("close", () => waiting.delete(response));
        product.stop();
        return;
      default:
        response.writeHead(404).end();
    }
  });
  await rm(path, { force: true });
  // The socket is made in this very call, with the mode it keeps.
  const mask = process.umask(0o177);
  server.listen(path);
  process.umask(mask);
  await once(server, "listening");
  return {
    report(line) {
      for (const response of waiting) response.write(`${JSON.stringify({ progress: line })}\n`);
    },
    async [Symbol.asyncDispose]() {
      for (const response of waiting) response.end();
      const closed = once(server, "close");
      server.close();
      server.closeIdleConnections();
      const forced = setTimeout(() => server.closeAllConnections(), 1_000);
      await closed;
      clearTimeout(forced);
    },
  };
}
