"use client";

const two = (value: number): string => String(value).padStart(2, "0");

/** How long an instance has yet: `1 h 02 min`, below an hour `12:05`. */
function formatTimeLeft(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1_000));
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}:${two(seconds % 60)}`;
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}

export function TimeLeft({ expiresAtMs, nowMs }: { expiresAtMs: number; nowMs: number }) {
  return (
    <span role="timer" className="tabular-nums">
      {formatTimeLeft(expiresAtMs - nowMs)}
    </span>
  );
}
