import { readFileSync } from "node:fs";

import { type Command, CommanderError } from "commander";

import { exitCode } from "./exit-code.ts";
import { type FailureReport, reportFailure, suggestNextStep } from "./failure.ts";
import { ownCommand } from "./own-command.ts";
import { createProgram } from "./program.ts";
import { note } from "./terminal.ts";

/** Runs one command. @returns the exit code */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  // Whoever reads our output may stop reading, as `head` does; the command still does its work.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
  const program = createProgram(readVersion());
  try {
    if (argv.length <= 2) program.help();
    await program.parseAsync(argv);
    return exitCode.ok;
  } catch (error) {
    const report = reportFailure(error);
    // Help was shown, or the version.
    if (error instanceof CommanderError && /^commander\.(?:help|version)/.test(error.code))
      return report.exitCode;
    note(argv.includes("--json") ? formatJson(report) : formatText(report));
    if (error instanceof CommanderError && !argv.includes("--json")) note(pointToHelp(program, argv));
    if (program.opts()["logLevel"] === "debug" && error instanceof Error) note(error.stack ?? "");
    return report.exitCode;
  }
}

function formatJson({ exitCode: code, ...report }: FailureReport): string {
  return JSON.stringify({ error: report, exitCode: code });
}

function formatText({ message, reason, requestId, issues }: FailureReport): string {
  const lines = [message, ...issues.map(({ path, message: problem }) => `  - ${path.join(".")} ${problem}`)];
  const facts = [reason && `reason ${reason}`, requestId && `request ${requestId}`].filter(Boolean);
  const nextStep = suggestNextStep(reason);
  if (nextStep !== null) lines.push(nextStep);
  if (facts.length > 0) lines.push(`(${facts.join(", ")})`);
  return lines.join("\n");
}

/** The help of the command that was meant, and what npm does to options where the `--` was forgotten. */
function pointToHelp(program: Command, argv: readonly string[]): string {
  const names: string[] = [];
  let command: Command | undefined = program;
  for (const word of argv.slice(2)) {
    command = command.commands.find((candidate) => candidate.name() === word);
    if (command === undefined) break;
    names.push(word);
  }
  const help = ownCommand([...names, "--help"].join(" "));
  return `See: ${help}\nOptions come after the first --, or npm keeps them for itself.`;
}

function readVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  return version;
}
