const longestMinutes = 1_440;

/**
 * A lifetime as a person writes it: `90` or `90m` (minutes), `2h`, `1h30m`.
 * @returns minutes
 * @throws RangeError with what is wrong
 */
export function parseLifetime(text: string): number {
  const match = /^(?=\d)(?:(\d{1,4})h)?(?:(\d{1,4})m?)?$/.exec(text);
  if (match === null) throw new RangeError("Write minutes or hours, like 60m, 90, 2h or 1h30m.");
  const [, hours = "0", minutes = "0"] = match;
  const total = Number(hours) * 60 + Number(minutes);
  if (total < 1 || total > longestMinutes) {
    throw new RangeError("An instance lives for 1 minute to 24 hours (1440 minutes).");
  }
  return total;
}
