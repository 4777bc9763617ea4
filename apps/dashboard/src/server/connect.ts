import "server-only";

import type { MiniMcpClient } from "@minimcp/client";

import { readBearer } from "../session/session-cookie.ts";
import { openClient } from "./open-client.ts";

/** A person waits: say soon that the API is away. */
const timeoutMs = 10_000;

/** The API as whoever is signed in; undefined for nobody. */
export async function connect(): Promise<MiniMcpClient | undefined> {
  const bearer = await readBearer();
  if (bearer === undefined) return undefined;
  return await openClient(bearer, { timeoutMs, maxRetryWaitMs: 0 });
}
