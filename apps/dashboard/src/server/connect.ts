import "server-only";

import { createMiniMcpClient, type MiniMcpClient } from "@minimcp/client";

import { dashboardConfig } from "../env.ts";
import { readBearer } from "../session/session-cookie.ts";

/** A person waits: say soon that the API is away. */
const timeoutMs = 10_000;

/** The API as whoever is signed in; undefined for nobody. */
export async function connect(): Promise<MiniMcpClient | undefined> {
  const bearer = await readBearer();
  if (bearer === undefined) return undefined;
  return createMiniMcpClient({
    url: dashboardConfig().PUBLIC_URL,
    token: bearer,
    timeoutMs,
    maxRetryWaitMs: 0,
  });
}
