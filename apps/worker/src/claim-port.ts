import { once } from "node:events";
import { createServer } from "node:net";

import { leasePort, type NodeIdentity } from "@minimcp/core";
import type { Database } from "@minimcp/db";

import { NotRunnable } from "./not-runnable.ts";

/**
 * Finds a loopback port for a server that has no network of its own: one that no instance has by the database, and that
 * nothing listens on in reality.
 * @throws NotRunnable when there is none
 */
export async function claimPort(
  db: Database,
  identity: NodeIdentity,
  lease: { instanceId: string; fence: number },
): Promise<number> {
  const taken = new Set<number>();
  for (;;) {
    const port = await leasePort(db, identity, lease, taken);
    if (port === null) {
      throw new NotRunnable(
        "The node has no free port for it. End another instance of such a type, then create it again.",
      );
    }
    if (await isFree(port)) return port;
    taken.add(port);
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen({ port, host: "127.0.0.1", exclusive: true });
    await once(server, "listening");
  } catch {
    return false;
  }
  server.close();
  await once(server, "close");
  return true;
}
