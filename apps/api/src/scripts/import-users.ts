import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";

import { CreateInvitation } from "@minimcp/core";
import { Command } from "commander";
import { CsvError, parse } from "csv-parse/sync";
import { stringify } from "csv-stringify/sync";
import { z } from "zod";

import { runScript, type Script, ScriptError } from "./support/run-script.ts";

const command = new Command("import-users")
  .description(
    "Invites everybody in a CSV file with the columns email, name and role (user, auditor or admin; empty means user). " +
      "Nobody is invited unless every row is right. Prints the invitations as CSV, with codes that are shown only here.",
  )
  .argument("<file>", "the CSV file, or - for standard input")
  .option("--valid-hours <number>", "how long the invitations are valid", Number, 72)
  .option("--dry-run", "only check the file and print whom it would invite");

const Row = z.strictObject({
  email: CreateInvitation.shape.email.unwrap(),
  name: z.string().min(1).max(100),
  role: z.preprocess((cell) => (cell === "" ? undefined : cell), CreateInvitation.shape.role),
});
type Row = z.infer<typeof Row>;

await runScript(command, async (script) => {
  const { validHours, dryRun } = command.opts<{ validHours: number; dryRun?: true }>();
  const [file = "-"] = command.args;
  const rows = readRows(await readInput(file));
  await refuseKnown(script, rows);
  const columns = ["email", "name", "role"];
  script.print(toCsv(dryRun ? columns : [...columns, "code", "expiresAt"]));
  for (const { email, name, role } of rows) {
    if (dryRun) {
      script.print(toCsv([email, name, role]));
      continue;
    }
    // Printed one by one: should one fail, the codes of those before it are not lost.
    const { code, expiresAt } = await script.asProduct.admin.invitations.create({ email, role, validHours });
    script.print(toCsv([email, name, role, code, expiresAt.toISOString()]));
  }
});

async function readInput(file: string): Promise<string> {
  if (file === "-") return await text(process.stdin);
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new ScriptError(
      `The file cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/** @throws ScriptError with everything that is wrong, line by line */
function readRows(content: string): Row[] {
  const problems: string[] = [];
  const rows = new Map<string, Row>();
  for (const { record, info } of parseCsv(content)) {
    const row = Row.safeParse(record);
    if (!row.success) {
      for (const { path, message } of row.error.issues) {
        problems.push(`line ${info.lines}: ${path.join(".") || "columns"}: ${message}`);
      }
    } else if (rows.has(row.data.email)) {
      problems.push(`line ${info.lines}: email: is in the file twice`);
    } else rows.set(row.data.email, row.data);
  }
  if (problems.length > 0) throw new ScriptError(`Nobody was invited:\n${problems.join("\n")}`);
  return [...rows.values()];
}

function parseCsv(content: string): { record: unknown; info: { lines: number } }[] {
  try {
    return parse(content, { columns: true, info: true, bom: true, trim: true, skip_empty_lines: true });
  } catch (error) {
    if (error instanceof CsvError) throw new ScriptError(`This is not CSV: ${error.message}`);
    throw error;
  }
}

/** @throws ScriptError with the addresses that have an account already */
async function refuseKnown({ asProduct }: Script, rows: readonly Row[]): Promise<void> {
  const known: string[] = [];
  for (const { email } of rows) {
    const { items } = await asProduct.admin.users.list({ email });
    if (items.length > 0) known.push(email);
  }
  if (known.length > 0) {
    throw new ScriptError(`Nobody was invited, because these have an account already:\n${known.join("\n")}`);
  }
}

/** A cell that begins like a formula must stay text in a spreadsheet (CWE-1236). */
function toCsv(row: string[]): string {
  return stringify([row], { escape_formulas: true });
}
