import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { networkInterfaces } from "node:os";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";

import { type Bridge, drainMs, listenerDescriptor, startTimeoutMs } from "../adapter/bridge.ts";
import { type Launch, readLines, ServerProcess } from "../adapter/server-process.ts";
import { splice } from "../splice.ts";

const pollMs = 20;
const healthRequest = "GET /healthz ";

/**
 * Brings a server that serves MCP over HTTP on TCP only to the inherited Unix socket, byte by byte: whatever it speaks
 * of the protocol, sessions and streams included, is between it and its client. Its endpoint has to be `/mcp`, which is
 * what the worker calls.
 */
export class TcpBridge implements Bridge {
  readonly #launch: Launch;
  readonly #port: number;
  readonly #log: (line: string) => void;
  readonly #open = new Set<Socket>();
  readonly #listener = createServer((client) => this.#accept(client));
  #server: ServerProcess | undefined;

  /** @param port where the server listens on 127.0.0.1; it is told by `PORT` */
  constructor(launch: Launch, port: number, log: (line: string) => void) {
    this.#launch = launch;
    this.#port = port;
    this.#log = log;
  }

  async serve(): Promise<string> {
    // Where the sandbox has no network of its own, another user's process may wait here for the calls.
    if (await this.#answers()) return `something listens on 127.0.0.1:${this.#port} already`;
    const server = new ServerProcess(this.#launch, (line) => process.stderr.write(`${line}\n`));
    this.#server = server;
    server.stdout.on(
      "data",
      readLines((line) => process.stderr.write(`${line}\n`)),
    );
    const timeout = AbortSignal.timeout(startTimeoutMs);
    const exited = server.exited.then((how) => `the server ${how}`);
    const started = await Promise.race([exited, this.#untilItAnswers(timeout)]);
    if (started !== null) return started;
    const exposed = await this.#findExposure();
    if (exposed !== undefined) {
      return `the server listens on ${exposed}, where whoever reaches this host reaches it; it may listen on 127.0.0.1 only`;
    }
    this.#listener.listen({ fd: listenerDescriptor });
    return await exited;
  }

  kill(): void {
    this.#server?.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
    if (!this.#listener.listening) return;
    // The server's connections have ended with it; what it still said may reach its clients.
    const closed = once(this.#listener, "close");
    this.#listener.close();
    await Promise.race([closed, delay(drainMs)]);
    for (const client of this.#open) client.destroy();
  }

  /** @returns null, or why there will be no answer */
  async #untilItAnswers(signal: AbortSignal): Promise<string | null> {
    for (;;) {
      if (await this.#answers()) return null;
      if (signal.aborted) {
        return `the server did not listen on 127.0.0.1:${this.#port} within ${startTimeoutMs / 1000} s; it is told the port by PORT`;
      }
      await delay(pollMs);
    }
  }

  /** An address of the host at which the server can be reached from elsewhere. A network of the sandbox's own has none. */
  async #findExposure(): Promise<string | undefined> {
    const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
    const outer = all.filter(({ internal }) => !internal);
    const addresses = outer.map(({ address, scopeid = 0 }) =>
      scopeid === 0 ? address : `${address}%${scopeid}`,
    );
    const answers = await Promise.all(addresses.map((address) => this.#answers(address)));
    return addresses.find((_, index) => answers[index]);
  }

  async #answers(address = "127.0.0.1"): Promise<boolean> {
    const socket = connect(this.#port, address);
    try {
      await once(socket, "connect");
      return true;
    } catch {
      return false;
    } finally {
      socket.destroy();
    }
  }

  #accept(client: Socket): void {
    this.#open.add(client);
    client.once("close", () => this.#open.delete(client));
    client.on("error", () => {});
    // The worker sends a request's head in one piece, and asks for health on a connection of its own.
    client.once("data", (head: Buffer) => {
      if (head.toString("latin1", 0, healthRequest.length) === healthRequest) {
        this.#answerHealth(client).catch((error: unknown) => this.#log(String(error)));
        return;
      }
      client.pause();
      client.unshift(head);
      splice(client, connect(this.#port, "127.0.0.1"));
    });
  }

  /** Of the adapter's own, for few servers have one. */
  async #answerHealth(client: Socket): Promise<void> {
    const [status, body] = (await this.#answers())
      ? ["200 OK", "ok\n"]
      : ["503 Service Unavailable", "the server does not accept connections\n"];
    client.end(
      `HTTP/1.1 ${status}\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    );
  }
}
