import { randomBytes, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

import { splice } from "../splice.ts";

/** A proxy on loopback in front of the broker's socket, for programs that know proxies but no Unix sockets. */
export interface Forwarder extends AsyncDisposable {
  /** `http://user:password@127.0.0.1:port`, for HTTPS_PROXY and its kin. */
  url: string;
}

/** Of the first request of a connection, all that is looked at. */
const headLimitBytes = 16 * 1024;
const headTimeoutMs = 10_000;

/**
 * Opens the forwarder. The broker judges what passes; the password keeps others out where the sandbox has no network of
 * its own, and any process of the machine could connect here and call in this instance's name.
 */
export async function openForwarder(socketPath: string): Promise<Forwarder> {
  const password = randomBytes(32).toString("base64url");
  const expected = Buffer.from(`Basic ${Buffer.from(`mcp:${password}`).toString("base64")}`);
  const open = new Set<Socket>();

  const server = createServer((client) => {
    open.add(client);
    client.once("close", () => open.delete(client));
    // A reset says nothing that the end of the connection does not say.
    client.on("error", () => {});
    client.setTimeout(headTimeoutMs, () => client.destroy());
    let head = Buffer.alloc(0);
    client.on("data", function onData(chunk: Buffer) {
      head = Buffer.concat([head, chunk]);
      if (!head.includes("\r\n\r\n") && head.length < headLimitBytes) return;
      client.off("data", onData);
      if (!isAuthorized(head, expected)) {
        client.end(refusal).resume();
        return;
      }
      client.setTimeout(0).pause().unshift(head);
      splice(client, connect(socketPath));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the forwarder has no port");

  return {
    url: `http://mcp:${password}@127.0.0.1:${address.port}`,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      for (const client of open) client.destroy();
      await closed;
    },
  };
}

const refusal = [
  "HTTP/1.1 407 Proxy Authentication Required",
  'Proxy-Authenticate: Basic realm="minimcp"',
  "Content-Length: 0",
  "Connection: close",
  "\r\n",
].join("\r\n");

function isAuthorized(head: Buffer, expected: Buffer): boolean {
  const [, credentials = ""] = /^proxy-authorization: *(.*?) *\r$/im.exec(head.toString("latin1")) ?? [];
  const given = Buffer.from(credentials);
  return given.length === expected.length && timingSafeEqual(given, expected);
}
