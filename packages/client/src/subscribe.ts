import type { ConnectionState, OpenStream, StreamCall } from "./open-stream.ts";

/** Who hears of a subscription, as tRPC's own client has it. */
export interface SubscriptionObserver {
  signal?: AbortSignal | null | undefined;
  onStarted?: ((options: { context: undefined }) => void) | undefined;
  onData?: ((value: unknown) => void) | undefined;
  onError?: ((error: unknown) => void) | undefined;
  onComplete?: (() => void) | undefined;
  onStopped?: (() => void) | undefined;
  onConnectionStateChange?: ((state: ConnectionState & { type: "state" }) => void) | undefined;
}

/** Opens a stream and tells an observer of it. Whoever unsubscribes hears only that it has stopped. */
export function subscribe(
  open: OpenStream,
  { path, input }: Pick<StreamCall, "path" | "input">,
  observer: SubscriptionObserver = {},
): { unsubscribe: () => void } {
  const stop = new AbortController();
  const signal = observer.signal ? AbortSignal.any([observer.signal, stop.signal]) : stop.signal;
  const run = async () => {
    try {
      const items = open({
        path,
        input,
        signal,
        onConnectionState(state) {
          if (state.state === "pending") observer.onStarted?.({ context: undefined });
          observer.onConnectionStateChange?.({ type: "state", ...state });
        },
      });
      for await (const { id, data } of items) observer.onData?.(id === undefined ? data : { id, data });
      observer.onComplete?.();
    } catch (error) {
      if (!stop.signal.aborted) observer.onError?.(error);
    }
    observer.onStopped?.();
  };
  void run();
  return { unsubscribe: () => stop.abort() };
}
