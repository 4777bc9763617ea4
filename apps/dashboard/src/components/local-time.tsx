"use client";

import { useSyncExternalStore } from "react";

/** Without the year: what is over is kept for weeks, not for years. */
const format: Intl.DateTimeFormatOptions = {
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
};

const neverChanges = () => () => undefined;

/** A moment in the reader's language and zone, which the server does not know: it writes UTC. */
export function LocalTime({ ms }: { ms: number }) {
  const date = new Date(ms);
  const text = useSyncExternalStore(
    neverChanges,
    () => date.toLocaleString(undefined, format),
    () => `${date.toLocaleString("en-GB", { ...format, timeZone: "UTC" })} UTC`,
  );
  return <time dateTime={date.toISOString()}>{text}</time>;
}
