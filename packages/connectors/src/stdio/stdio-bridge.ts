import { createServer, type Server } from "node:http";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";

import { type Bridge, drainMs, listenerDescriptor, startTimeoutMs } from "../adapter/bridge.ts";
import type { Launch } from "../adapter/server-process.ts";
import { ChildLink } from "./child-link.ts";
import type { McpHttpHandler } from "./mcp-handler.ts";

/** Makes an MCP HTTP endpoint of both protocol eras of a server that speaks over its standard input and output. */
export class StdioBridge implements Bridge {
  readonly #http = createServer();
  readonly #link: ChildLink;
  readonly #log: (line: string) => void;
  #handler: McpHttpHandler | undefined;

  constructor(launch: Launch, log: (line: string) => void) {
    this.#log = log;
    this.#link = new ChildLink({
      ...launch,
      startTimeoutMs,
      log,
      onStderrLine: (line) => process.stderr.write(`${line}\n`),
      onNotification: (method, params) => {
        if (method === "notifications/message") log(`server: ${JSON.stringify(params["data"])}`);
        else this.#handler?.announceListChange(method);
      },
    });
  }

  async serve(): Promise<string> {
    try {
      // Read while the server starts: the SDK is most of this program.
      const [hello, { createStdioMcpHandler }] = await Promise.all([
        this.#link.initialize(),
        import("./mcp-handler.ts"),
      ]);
      this.#handler = createStdioMcpHandler(this.#link, hello, this.#log);
    } catch (error) {
      return `the server did not start: ${error instanceof Error ? error.message : String(error)}`;
    }
    listen(this.#http, this.#handler);
    return `the server ${await this.#link.exited}`;
  }

  kill(): void {
    this.#link.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#link[Symbol.asyncDispose]();
    await this.#handler?.close();
    await closeHttp(this.#http);
  }
}

/**
 * Accepts only now that it can serve. Connections made earlier wait in the socket's backlog, so a readiness
 * probe is answered the moment there is something to say, and never wrongly.
 */
function listen(http: Server, handler: McpHttpHandler): void {
  http.on("request", (request, response) => {
    // While this process ends, a connection has no use after its last answer.
    response.once("close", () => !http.listening && http.closeIdleConnections());
    if (request.url === "/healthz") response.end("ok\n");
    else void handler.handle(request, response);
  });
  // The only peer is the worker's connection pool: it decides how long an idle connection is of use. A limit
  // here would close some at the moment of their next request.
  http.keepAliveTimeout = 0;
  http.listen({ fd: listenerDescriptor });
}

async function closeHttp(http: Server): Promise<void> {
  if (!http.listening) return;
  const closed = new Promise((done) => http.close(done));
  await Promise.race([closed, delay(drainMs)]);
  http.closeAllConnections();
}
