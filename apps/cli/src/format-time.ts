/** A length of time in its two largest units: `2 h 5 min`, `40 s`. */
export function formatDuration(milliseconds: number): string {
  // Beyond ten minutes nobody counts seconds.
  const unitMs = milliseconds >= 600_000 ? 60_000 : 1_000;
  const seconds = Math.max(0, Math.round(milliseconds / unitMs) * (unitMs / 1_000));
  const parts = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3_600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [seconds % 60, "s"],
  ] as const;
  const first = parts.findIndex(([count]) => count > 0);
  if (first === -1) return "0 s";
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(" ");
}

/** When something ends, in the user's language and time zone: `in 1 h (14:05)`, on another day with its date. */
export function formatDeadline(at: Date, now: Date = new Date()): string {
  const isToday = at.toDateString() === now.toDateString();
  const moment = at.toLocaleString(undefined, {
    timeStyle: "short",
    ...(isToday ? {} : { dateStyle: "medium" }),
  });
  return `${formatRelative(at, now)} (${moment})`;
}

/** When something was or will be, as seen from now: `in 59 min 3 s`, `12 s ago`. */
export function formatRelative(at: Date, now: Date = new Date()): string {
  const differenceMs = at.getTime() - now.getTime();
  return differenceMs >= 0 ? `in ${formatDuration(differenceMs)}` : `${formatDuration(-differenceMs)} ago`;
}

/** The time of day in the user's time zone, to the second: `14:05:09`. */
export function formatClock(at: Date): string {
  return at.toLocaleTimeString("en-GB");
}
