const units = ["kilobyte", "megabyte", "gigabyte"] as const;

/** `512 B`, `1.2 kB`: in powers of a thousand. */
export function formatBytes(bytes: number): string {
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), units.length);
  const unit = units[power - 1];
  if (unit === undefined) return `${bytes} B`;
  const format = { style: "unit", unit, maximumFractionDigits: 1 } as const;
  return new Intl.NumberFormat("en", format).format(bytes / 1_000 ** power);
}
