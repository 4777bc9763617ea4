import { createMiniMcpClient, type MiniMcpClient } from "@minimcp/client";
import { InvalidArgumentError } from "commander";

import { readStatus } from "../supervisor/control-client.ts";
import { homeAt } from "../supervisor/home.ts";
import type { ProductStatus } from "../supervisor/product-status.ts";
import { Credentials } from "./credentials.ts";

/** What every command that talks to a server can be given. */
export interface ServerOptions {
  url?: string;
  configHome: string;
  json?: boolean;
}

export interface Connection {
  client: MiniMcpClient;
  credentials: Credentials;
  /** The server's address, as sign-ins are kept under it. */
  server: string;
}

const defaultServer = "http://127.0.0.1:5000";

/** Speaks to the given server, else the one of the last sign-in, else the one that runs in this clone's home. */
export async function connect(options: ServerOptions): Promise<Connection> {
  const credentials = new Credentials(options.configHome);
  const server =
    options.url ??
    (await credentials.currentServer()) ??
    (await findRunningProduct())?.api.url ??
    defaultServer;
  return {
    client: createMiniMcpClient({ url: server, store: credentials.storeFor(server) }),
    credentials,
    server,
  };
}

/** The dashboard beside an API that runs in this clone's home; null for one elsewhere, or without. */
export async function findDashboard(server: string): Promise<string | null> {
  const running = await findRunningProduct();
  return running?.api.url === server ? (running.dashboard?.url ?? null) : null;
}

/** Nothing is said about a home that cannot be looked into: it may be no business of this user's. */
async function findRunningProduct(): Promise<ProductStatus | undefined> {
  try {
    const { readHomePath } = await import("../env.ts");
    return await readStatus(homeAt(readHomePath()));
  } catch {
    return undefined;
  }
}

/** @throws InvalidArgumentError */
export function parseServer(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol)) {
    throw new InvalidArgumentError("It must be the http or https address of the API.");
  }
  return url.href.replace(/\/+$/, "");
}
