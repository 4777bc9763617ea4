import { request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";

const retryPauseMs = 20;

/**
 * Asks `GET /healthz` on a Unix socket until the answer is 200. The socket listens before the child runs, so the
 * first question usually waits in the kernel's queue and is answered the moment the child is ready.
 *
 * @throws the signal's reason when it aborts first.
 */
export async function waitForHealth(socketPath: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    const status = await askHealth(socketPath, signal);
    if (status === 200) return;
    // An abort ends the pause early; the next round throws its reason.
    await delay(retryPauseMs, undefined, { signal }).catch(() => {});
  }
}

/** The status of one answer, or undefined when the connection failed. */
async function askHealth(socketPath: string, signal: AbortSignal): Promise<number | undefined> {
  return new Promise((resolve) => {
    const question = request({ socketPath, path: "/healthz", agent: false, signal }, (answer) => {
      resolve(answer.statusCode);
      answer.destroy();
    });
    question.on("error", () => {});
    // For every other end: after an answer that switches protocols there is neither a response nor an error.
    question.on("close", () => resolve(undefined));
    question.end();
  });
}
