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

/**
 * Names and values, one a line.
 * @param width columns of the terminal; long values go on below themselves. Without it nothing is broken.
 */
export function formatFields(
  fields: readonly (readonly [name: string, value: string])[],
  width: number = process.stdout.columns || Infinity,
): string {
  const longest = Math.max(...fields.map(([name]) => name.length));
  const indent = " ".repeat(longest + 2);
  return fields
    .map(([name, value]) => name.padEnd(longest + 2) + wrap(sanitize(value), width - indent.length, indent))
    .join("\n");
}

/** Breaks a list behind its commas. Nothing else is broken: what is copied from a terminal must stay one piece. */
function wrap(text: string, width: number, indent: string): string {
  const lines: string[] = [];
  for (const item of text.split(/(?<=, )/)) {
    const line = lines.at(-1);
    if (line === undefined || `${line}${item}`.trimEnd().length > width) lines.push(item);
    else lines[lines.length - 1] = line + item;
  }
  return lines.map((line) => line.trimEnd()).join(`\n${indent}`);
}

/** A label from the server must not move the cursor of the terminal that shows it. */
function sanitize(text: string): string {
  return stripVTControlCharacters(text).replace(/\p{Cc}/gu, "\ufffd");
}
