import { type DestinationStream, type Logger, pino } from "pino";

import { describeError } from "../describe-error.ts";

/**
 * A log of JSON lines. Nothing that can hold a secret is ever handed to it; the paths below are a net.
 * @param name the process that writes it
 * @param destination standard output, unless a test reads along
 */
export function openLog(name: string, level: string, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: { process: name },
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: (error: unknown) => describeError(error) },
    redact: {
      paths: ["*.password", "*.secret", "*.token", "*.accessToken", "*.refreshToken", "*.authorization"],
      remove: true,
    },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}
