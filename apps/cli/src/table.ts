import { stripVTControlCharacters } from "node:util";

/** Columns of text under a head, each as wide as it must be. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows].map((row) => row.map(sanitize));
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** Names and values, one a line. */
export function formatFields(fields: readonly (readonly [name: string, value: string])[]): string {
  const longest = Math.max(...fields.map(([name]) => name.length));
  return fields.map(([name, value]) => `${name.padEnd(longest)}  ${sanitize(value)}`).join("\n");
}

/** A label from the server must not move the cursor of the terminal that shows it. */
function sanitize(text: string): string {
  return stripVTControlCharacters(text).replace(/\p{Cc}/gu, "\ufffd");
}
