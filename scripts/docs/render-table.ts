/** A Markdown table (GitHub Flavored Markdown, section 4.10). */
export function renderTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => "---"), ...rows].map(renderRow).join("");
}

function renderRow(cells: readonly string[]): string {
  // Inside a cell a `|` must be escaped, even in code.
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")} |\n`;
}
