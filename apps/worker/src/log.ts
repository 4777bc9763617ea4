import { describeError } from "@minimcp/core";
import { type Logger, pino } from "pino";

/** A log of JSON lines on standard output. */
export function openLog(level: string): Logger {
  return pino({
    level,
    base: { process: "worker" },
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: (error) => describeError(error) },
  });
}
