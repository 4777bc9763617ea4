import type { LogLineView } from "@minimcp/client";

/** A line of an instance's log as pages show it: plain JSON. */
export interface LogLine extends Omit<LogLineView, "at"> {
  atMs: number;
}

export function toLogLine({ at, ...rest }: LogLineView): LogLine {
  return { ...rest, atMs: at.getTime() };
}
