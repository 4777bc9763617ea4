"use client";

import { useEffect, useState } from "react";

import type { Problem } from "../problem.ts";
import type { Seen } from "./live-instance.ts";

const reopenAfterMs = 2_000;

export interface Live<T> {
  seen: Seen<T>;
  /** Why what is shown may be old; null while it is current. */
  trouble: string | null;
}

/**
 * Follows what the dashboard's server sees.
 * @param first what the page came with
 */
export function useLive<T>(path: string, first: Seen<T>): Live<T> {
  const [live, setLive] = useState<Live<T>>({ seen: first, trouble: null });

  useEffect(() => {
    let source: EventSource;
    let reopening: ReturnType<typeof setTimeout> | undefined;
    const trouble = (text: string) => setLive(({ seen }) => ({ seen, trouble: text }));

    function open(): void {
      source = new EventSource(path);
      source.addEventListener("seen", ({ data }: MessageEvent<string>) =>
        setLive({ seen: JSON.parse(data) as Seen<T>, trouble: null }),
      );
      source.addEventListener("problem", ({ data }: MessageEvent<string>) => {
        const problem = JSON.parse(data) as Problem;
        if (problem.remedy === "signIn") window.location.assign("/sign-in");
        else trouble(problem.message);
      });
      source.addEventListener("error", () => {
        trouble("The connection to the dashboard is lost. This page goes on by itself when it is back.");
        // A browser tries again by itself after a broken connection, but not after an answer that is no stream.
        if (source.readyState === EventSource.CLOSED) reopening = setTimeout(open, reopenAfterMs);
      });
    }

    open();
    return () => {
      clearTimeout(reopening);
      source.close();
    };
  }, [path]);

  return live;
}
