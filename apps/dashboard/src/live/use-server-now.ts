"use client";

import { useEffect, useState } from "react";

/**
 * The server's time, ticking by the second from the moment it said it.
 * @param nowMs what it was when it was said
 */
export function useServerNow(nowMs: number): number {
  const [tick, setTick] = useState({ saidMs: nowMs, passedMs: 0 });

  useEffect(() => {
    const startedAt = performance.now();
    const ticking = setInterval(
      () => setTick({ saidMs: nowMs, passedMs: performance.now() - startedAt }),
      1_000,
    );
    return () => clearInterval(ticking);
  }, [nowMs]);

  return tick.saidMs === nowMs ? nowMs + tick.passedMs : nowMs;
}
