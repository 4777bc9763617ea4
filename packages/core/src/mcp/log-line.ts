import type { logStreams } from "@minimcp/db/schema";
import { instanceLogLines } from "@minimcp/db/schema";

/** How much of an instance's output is kept. */
export const maxKeptLogLines = 1_000;
export const maxKeptLogBytes = 256 * 1024;

/** A line that an instance's process wrote, without what looks like a secret. */
export interface LogLineView {
  /** Its place in the log: reading goes on behind it when this is sent as `lastEventId`. */
  id: string;
  at: Date;
  stream: (typeof logStreams)[number];
  text: string;
  /** How many bytes of output right before this line were not kept; 0 where it follows the line before it. */
  droppedBytes: number;
}

/** Where a line stands: claims in their order, and within one the bytes written until then. */
export interface LogPosition {
  fence: number;
  position: number;
}

export interface StoredLogLine extends LogPosition {
  bytes: number;
  at: Date;
  stream: LogLineView["stream"];
  text: string;
}

export const logLineColumns = {
  fence: instanceLogLines.fence,
  position: instanceLogLines.position,
  bytes: instanceLogLines.bytes,
  at: instanceLogLines.at,
  stream: instanceLogLines.stream,
  text: instanceLogLines.text,
};

/** Before every line: positions within a claim start at 0, and claims at 1. */
export const logStart: LogPosition = { fence: 0, position: 0 };

export const logLineId = /^(\d{1,15})-(\d{1,15})$/;

/** @param id of a line, as `logLineId` describes it */
export function parseLogLineId(id: string): LogPosition {
  const [, fence, position] = logLineId.exec(id) ?? [];
  return { fence: Number(fence), position: Number(position) };
}

export function isBehind(line: LogPosition, other: LogPosition): boolean {
  return line.fence === other.fence ? line.position > other.position : line.fence > other.fence;
}

/** @param before the last line that its reader has seen */
export function viewLogLine(line: StoredLogLine, before: LogPosition): LogLineView {
  const { fence, position, bytes, at, stream, text } = line;
  const expected = before.fence === fence ? before.position : 0;
  return {
    id: `${fence}-${position}`,
    at,
    stream,
    text,
    droppedBytes: Math.max(0, position - bytes - expected),
  };
}
