import type { Command } from "commander";

import type { ServerOptions } from "../account/connect.ts";
import type { NamedFinding } from "../doctor/examine.ts";
import { Failure } from "../failure.ts";
import { paint, print, printJson } from "../terminal.ts";
import { addServerCommand } from "./server-command.ts";

const marks = {
  pass: paint("green", "pass"),
  fail: paint("red", "fail"),
  skip: paint("dim", "skip"),
};

export function addDoctor(program: Command): void {
  addServerCommand(program, "doctor")
    .description("look at this machine, this installation and the sign-in, and tell what is wrong")
    .addHelpText("after", "\nChanges nothing. Ends with exit code 1 when a check failed.")
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<ServerOptions>();
      const { examine } = await import("../doctor/examine.ts");
      const findings = await examine(options);
      const failed = findings.filter(({ status }) => status === "fail").map(({ id }) => id);
      if (options.json) printJson({ ok: failed.length === 0, checks: findings });
      else print(findings.map(describe).join("\n"));
      if (failed.length > 0) throw new Failure(`Failed: ${failed.join(", ")}.`);
    });
}

function describe({ id, status, evidence, remedy }: NamedFinding): string {
  const line = `${marks[status]}  ${id.padEnd(16)}  ${evidence}`;
  return remedy === undefined ? line : `${line}\n${" ".repeat(24)}→ ${remedy}`;
}
