/**
 * The program of a bundle that wraps a stdio server: `node server.js <script> [argument…]`, the script being
 * relative to this file. Serves MCP over HTTP on the listening socket inherited as descriptor 3.
 *
 * Life and death: standard input is a pipe from the worker, and its end means that the worker died; SIGTERM
 * ends in good order, a second one at once; the end of the wrapped server is the end of this process.
 */
import { createServer, type Server } from "node:http";
import { resolve } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";

import { ChildLink } from "./child-link.ts";
import type { McpHttpHandler } from "./mcp-handler.ts";

const listenerDescriptor = 3;

/**
 * Heap of the wrapped server, MiB. Without a bound V8 sizes it by the host's memory, and garbage alone would
 * reach the instance's limit; with it, a server that needs more says so in its log when it ends.
 */
const serverHeapMib = 256;
/** How long answers that are on their way may take to leave, once this process ends. */
const drainMs = 500;

const [script, ...scriptArguments] = process.argv.slice(2);
if (script === undefined) throw new Error("Usage: server.js <script of the stdio server> [argument…]");
process.exit(await run(script, scriptArguments));

async function run(serverScript: string, serverArguments: readonly string[]): Promise<number> {
  await using stack = new AsyncDisposableStack();
  let handler: McpHttpHandler | undefined;
  const http = stack.adopt(createServer(), async (server) => {
    await handler?.close();
    await closeHttp(server);
  });
  const link = stack.use(
    new ChildLink({
      command: process.execPath,
      args: [
        `--max-old-space-size=${serverHeapMib}`,
        resolve(import.meta.dirname, serverScript),
        ...serverArguments,
      ],
      log,
      onStderrLine: (line) => process.stderr.write(`${line}\n`),
      onNotification(method, params) {
        if (method === "notifications/message") log(`server: ${JSON.stringify(params["data"])}`);
        else handler?.announceListChange(method);
      },
    }),
  );
  watchWorker(link);
  const terminated = new Promise<number>((end) => {
    process.once("SIGTERM", () => {
      process.once("SIGTERM", () => killAll(link));
      end(0);
    });
  });

  // Awaited here: the stack is disposed when this function leaves its block.
  return await Promise.race([terminated, serve()]);

  async function serve(): Promise<number> {
    try {
      // Read while the server starts: the SDK is most of this program.
      const [hello, { createStdioMcpHandler }] = await Promise.all([
        link.initialize(),
        import("./mcp-handler.ts"),
      ]);
      handler = createStdioMcpHandler(link, hello, log);
    } catch (error) {
      log(`the server did not start: ${error instanceof Error ? error.message : String(error)}`);
      return 1;
    }
    listen(http, handler);
    log(`the server ${await link.exited}`);
    return 1;
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

function watchWorker(link: ChildLink): void {
  const onDeath = (): void => killAll(link);
  process.stdin.once("end", onDeath).once("error", onDeath).resume();
}

function killAll(link: ChildLink): never {
  link.kill();
  process.exit(1);
}

function log(line: string): void {
  // Clients and the wrapped server can have a say in it: a line stays one line.
  process.stderr.write(`adapter: ${line.replaceAll(/\s+/g, " ")}\n`);
}
