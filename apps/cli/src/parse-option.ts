import { InvalidArgumentError } from "commander";

/** @throws InvalidArgumentError */
export function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!/^\d{1,6}$/.test(text) || seconds < 1) {
    throw new InvalidArgumentError("It must be a whole number of seconds, at least 1.");
  }
  return seconds;
}

const longestMinutes = 1_440;

/**
 * A lifetime as a person writes it: `90` or `90m` (minutes), `2h`, `1h30m`.
 * @returns minutes
 * @throws InvalidArgumentError with what is wrong
 */
export function parseLifetime(text: string): number {
  const match = /^(?=\d)(?:(\d{1,4})h)?(?:(\d{1,4})m?)?$/.exec(text);
  if (match === null) throw new InvalidArgumentError("Write minutes or hours, like 60m, 90, 2h or 1h30m.");
  const [, hours = "0", minutes = "0"] = match;
  const total = Number(hours) * 60 + Number(minutes);
  if (total < 1 || total > longestMinutes) {
    throw new InvalidArgumentError("An instance lives for 1 minute to 24 hours (1440 minutes).");
  }
  return total;
}
