import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, connect, type Socket } from "node:net";
import { join } from "node:path";

import { buildDatabaseUrl, parseDatabaseUrl } from "../../src/index.ts";

/** A socket in front of a real server, to break and to freeze what no server would on request. */
export interface SocketRelay extends AsyncDisposable {
  url: string;
  /** Cuts every connection now. */
  cut(): void;
  /** Cuts a connection right after the client sent this text; the server still receives it. */
  cutAfter(text: string | undefined): void;
  /** Holds everything back, in both directions, as a network that swallows packets would. */
  freeze(frozen: boolean): void;
}

export async function openSocketRelay(url: string): Promise<SocketRelay> {
  const target = parseDatabaseUrl(url);
  const directory = await mkdtemp("/tmp/minimcp-relay-");
  const sockets = new Set<Socket>();
  let frozen = false;
  let cutText: string | undefined;
  const server = createServer((client) => {
    const upstream = connect(join(target.host, `.s.PGSQL.${target.port}`));
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on("data", (data) => {
        if (frozen) return;
        to.write(data);
        if (from === client && cutText !== undefined && data.includes(cutText)) {
          client.destroy();
          upstream.end();
        }
      });
      from.on("error", () => undefined);
      from.on("close", () => {
        sockets.delete(from);
        to.end();
      });
    }
  });
  server.listen(join(directory, ".s.PGSQL.5432"));
  await once(server, "listening");
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: buildDatabaseUrl({ ...target, host: directory, port: 5432 }),
    cut,
    cutAfter: (text) => {
      cutText = text;
    },
    freeze: (value) => {
      frozen = value;
    },
    [Symbol.asyncDispose]: async () => {
      cut();
      server.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
