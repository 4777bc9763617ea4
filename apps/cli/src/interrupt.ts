/** Runs work that Ctrl-C aborts. A second Ctrl-C ends the process as usual. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const interrupt = new AbortController();
  const onSignal = () => interrupt.abort();
  process.once("SIGINT", onSignal);
  process.once("SIGTERM", onSignal);
  try {
    return await work(interrupt.signal);
  } finally {
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
  }
}

/**
 * Runs short work that must not be cut in two. The first Ctrl-C counts when it is done; a second one ends the process
 * as usual.
 */
export async function uninterrupted<T>(work: () => Promise<T>, onInterrupt: () => void): Promise<T> {
  // Somebody else listens, so nothing is cut.
  if (process.listenerCount("SIGINT") > 0) return await work();
  let received: NodeJS.Signals | undefined;
  const onSignal = (signal: NodeJS.Signals) => {
    received = signal;
    onInterrupt();
  };
  process.once("SIGINT", onSignal);
  process.once("SIGTERM", onSignal);
  try {
    return await work();
  } finally {
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
    if (received !== undefined) process.kill(process.pid, received);
  }
}
