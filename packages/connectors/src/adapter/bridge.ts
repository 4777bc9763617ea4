/** What stands between the inherited listening socket and one wrapped server. Disposing of it ends the server. */
export interface Bridge extends AsyncDisposable {
  /** Starts the server and serves it on the socket; fulfilled with why that came to an end. */
  serve: () => Promise<string>;
  /** Ends the server at once, whatever signals it ignores. */
  kill: () => void;
}

/** The listening socket that the worker bound; the program accepts on it once it has something to serve. */
export const listenerDescriptor = 3;

/** How long answers that are on their way may take to leave, once this process ends. */
export const drainMs = 500;

/** How long a server may take until it can be spoken to. */
export const startTimeoutMs = 30_000;
