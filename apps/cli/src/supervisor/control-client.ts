import { lstat } from "node:fs/promises";
import http, { type IncomingMessage } from "node:http";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";

import { errorCode } from "../error-code.ts";
import { Failure } from "../failure.ts";
import { waitForLock } from "../file-lock.ts";
import type { Home } from "./home.ts";
import type { ProductStatus } from "./product-status.ts";

const answerTimeoutMs = 5_000;

/** What runs on this home; undefined when nothing does. */
export async function readStatus(home: Home): Promise<ProductStatus | undefined> {
  const limit = AbortSignal.timeout(answerTimeoutMs);
  try {
    const response = await call(home, "GET", "/status", limit);
    return response && (JSON.parse(await text(response)) as ProductStatus);
  } catch (error) {
    if (!limit.aborted) throw error;
    throw new Failure(
      `What runs in ${home.path} does not answer. Is its process stopped or its machine overloaded?`,
    );
  }
}

/**
 * Asks what runs on this home to end, and waits until it has.
 * @param onProgress hears of each step
 * @returns false when nothing runs
 */
export async function stopProduct(
  home: Home,
  { signal, onProgress }: { signal: AbortSignal; onProgress: (line: string) => void },
): Promise<boolean> {
  const response = await call(home, "POST", "/stop", signal);
  if (response === undefined) return false;
  try {
    for await (const line of createInterface({ input: response })) {
      onProgress((JSON.parse(line) as { progress: string }).progress);
    }
  } catch (error) {
    signal.throwIfAborted();
    // It was killed meanwhile: over is over.
    if (errorCode(error) !== "ECONNRESET") throw error;
  }
  // It says goodbye just before it lets go of the home; a start that follows at once must find it free.
  (await waitForLock(home.lock, answerTimeoutMs))[Symbol.dispose]();
  return true;
}

async function call(
  home: Home,
  method: string,
  path: string,
  signal: AbortSignal,
): Promise<IncomingMessage | undefined> {
  const socketPath = home.controlSocket;
  try {
    const [socket, directory] = await Promise.all([lstat(socketPath), lstat(home.path)]);
    // With a long home the socket lies where every user may write: what another one put there must not be believed, by
    // root least of all.
    const isTrusted = socket.uid === 0 || socket.uid === directory.uid;
    const isOwn = process.getuid?.() === 0 || socket.uid === process.getuid?.();
    if (!isTrusted || !isOwn) throw otherUser(home);
    return await new Promise((resolve, reject) => {
      http.request({ socketPath, method, path, signal, agent: false }, resolve).once("error", reject).end();
    });
  } catch (error) {
    const code = errorCode(error);
    if (code === "ENOENT" || code === "ECONNREFUSED") return undefined;
    if (code === "EACCES") throw otherUser(home);
    throw error;
  }
}

function otherUser(home: Home): Failure {
  return new Failure(`MiniMCP in ${home.path} belongs to another user. Run the command as that user.`);
}
