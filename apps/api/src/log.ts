import { describeError } from "@minimcp/core";
import { type Logger, pino } from "pino";

/** A log of JSON lines on standard output. Nothing that can hold a secret is ever handed to it; the paths below are a net. */
export function openLog(level: string): Logger {
  return pino({
    level,
    base: { process: "api" },
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: (error) => describeError(error) },
    redact: {
      paths: ["*.password", "*.secret", "*.token", "*.accessToken", "*.refreshToken", "*.authorization"],
      remove: true,
    },
  });
}
