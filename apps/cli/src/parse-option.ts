import { InvalidArgumentError } from "commander";

import { describeError } from "./failure.ts";
import { parseLifetime } from "./lifetime.ts";

/** @throws InvalidArgumentError */
export function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!/^\d{1,6}$/.test(text) || seconds < 1) {
    throw new InvalidArgumentError("It must be a whole number of seconds, at least 1.");
  }
  return seconds;
}

/**
 * @returns minutes
 * @throws InvalidArgumentError
 */
export function parseMinutes(text: string): number {
  try {
    return parseLifetime(text);
  } catch (error) {
    throw new InvalidArgumentError(describeError(error));
  }
}
