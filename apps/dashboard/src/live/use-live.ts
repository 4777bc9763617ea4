"use client";

import { useState } from "react";

import type { Seen } from "./live-instance.ts";
import { useEventStream } from "./use-event-stream.ts";

export interface Live<T> {
  seen: Seen<T>;
  /** Why what is shown may be old; null while it is current. */
  trouble: string | null;
}

/**
 * Follows what the dashboard's server sees.
 * @param path null when nothing changes any more
 * @param first what the page came with
 */
export function useLive<T>(path: string | null, first: Seen<T>): Live<T> {
  const [seen, setSeen] = useState(first);
  const trouble = useEventStream(path, (value) => setSeen(value as Seen<T>));
  return { seen, trouble };
}
