"use client";

import { useEffect, useEffectEvent, useRef, useState } from "react";

import type { Problem } from "../problem.ts";

const reopenMs = 2_000;
/** The server's heart beats every fifteen seconds. */
const longestSilenceMs = 40_000;

const lost = "The connection to the dashboard is lost. This page goes on by itself when it is back.";

/**
 * Follows a stream of the dashboard's server, over as many connections as that takes. A page that nobody sees holds none:
 * a browser has six for all its pages together, and the API gives out so many streams to a user.
 * @param path null follows nothing; the same path again goes on behind the last value that had an id
 * @returns why what is shown may be old; null while it is current
 */
export function useEventStream(path: string | null, onValue: (value: unknown) => void): string | null {
  const [trouble, setTrouble] = useState<string | null>(null);
  const lastId = useRef("");
  const receive = useEffectEvent(onValue);

  useEffect(() => {
    if (path === null) return;
    let source: EventSource | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isOver = false;

    function close(): void {
      clearTimeout(timer);
      source?.close();
    }

    function heard(): void {
      clearTimeout(timer);
      timer = setTimeout(() => {
        setTrouble(lost);
        open();
      }, longestSilenceMs);
    }

    function open(): void {
      close();
      if (isOver || document.hidden || path === null) return;
      // What the server said of it is better than what can be seen from here.
      let isExplained = false;
      const opened = new EventSource(lastId.current === "" ? path : `${path}?after=${lastId.current}`);
      source = opened;
      heard();
      opened.addEventListener("beat", heard);
      opened.addEventListener("connected", () => {
        heard();
        isExplained = false;
        setTrouble(null);
      });
      opened.addEventListener("value", ({ data, lastEventId }: MessageEvent<string>) => {
        heard();
        lastId.current = lastEventId;
        setTrouble(null);
        receive(JSON.parse(data));
      });
      opened.addEventListener("problem", ({ data }: MessageEvent<string>) => {
        heard();
        isExplained = true;
        const problem = JSON.parse(data) as Problem;
        if (problem.remedy === "signIn") goToSignIn();
        else setTrouble(problem.message);
      });
      opened.addEventListener("end", () => {
        isOver = true;
        close();
      });
      opened.addEventListener("error", () => {
        if (!isExplained) setTrouble(lost);
        // A browser tries again by itself after a broken connection, but not after an answer that is no stream.
        if (opened.readyState !== EventSource.CLOSED) return;
        void refusesSignedOut(path).then((isSignedOut) => isSignedOut && goToSignIn());
        clearTimeout(timer);
        timer = setTimeout(open, reopenMs);
      });
    }

    const changes = new AbortController();
    const { signal } = changes;
    document.addEventListener("visibilitychange", open, { signal });
    // Where the network has changed, what is open may be dead without a word.
    window.addEventListener("online", open, { signal });
    window.addEventListener("offline", open, { signal });
    open();
    return () => {
      changes.abort();
      close();
    };
  }, [path]);

  return trouble;
}

/** EventSource tells no status. */
async function refusesSignedOut(path: string): Promise<boolean> {
  try {
    const response = await fetch(path, { signal: AbortSignal.timeout(reopenMs) });
    await response.body?.cancel();
    return response.status === 401;
  } catch {
    return false;
  }
}

function goToSignIn(): void {
  window.location.assign("/sign-in");
}
