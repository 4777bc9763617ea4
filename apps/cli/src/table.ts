import { stripVTControlCharacters } from "node:util";

import { paint } from "./terminal.ts";

/** Columns of text under a head, each as wide as it must be. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head.map((title) => paint("bold", title)), ...rows.map((row) => row.map(sanitize))];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => width(line[column] ?? ""))));
  return lines
    .map((line) =>
      line
        .map((cell, column) => pad(cell, widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** Names and values, one a line. */
export function formatFields(fields: readonly (readonly [name: string, value: string])[]): string {
  const longest = Math.max(...fields.map(([name]) => name.length));
  return fields
    .map(([name, value]) => `${paint("bold", name.padEnd(longest))}  ${sanitize(value)}`)
    .join("\n");
}

/** A label from the server must not move the cursor of the terminal that shows it. */
function sanitize(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what is removed
  return stripVTControlCharacters(text).replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, "�");
}

function pad(text: string, columns: number): string {
  return text + " ".repeat(Math.max(0, columns - width(text)));
}

function width(text: string): number {
  return stripVTControlCharacters(text).length;
}
