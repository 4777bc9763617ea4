import { STATUS_CODES } from "node:http";

import type { ErrorKind } from "../../packages/core/src/index.ts";
import { codes } from "../../packages/router/src/errors.ts";
import { ts } from "../typedoc/index.ts";
import type { Procedure } from "./describe-procedures.ts";
import { oneLine, type Refusal, refusalsIn } from "./read-source.ts";
import { renderTable } from "./render-table.ts";

/** Who says no with what is not of one procedure's own. */
const generalReasons: ReadonlyMap<string, string> = new Map([
  ["auth.signInRequired", "every procedure that is not public"],
  ["auth.tokenExpired", "every procedure that is not public"],
  ["auth.tokenInvalid", "every procedure that is not public"],
  ["auth.sessionEnded", "every procedure that is not public"],
  ["permission.denied", "every procedure that is not public"],
  ["permission.userRequired", "procedures about one's own things, to a script that acts for nobody"],
  ["audit.unavailable", "every mutation"],
  ["stream.limitReached", "every subscription"],
  ["input.invalid", "every procedure"],
  ["input.tooLarge", "every procedure"],
  ["input.unsupportedMediaType", "every mutation, to a client of another make"],
  [
    "input.notFound",
    "no procedure: there is none of that name. This client calls it `client.incompatibleServer`",
  ],
  ["server.internal", "every procedure"],
  ["server.unavailable", "every procedure"],
  ["vault.openFailed", "no procedure: a worker says it in the audit trail"],
]);

export const generalReasonNames: ReadonlySet<string> = new Set(generalReasons.keys());

/** Every reason of the server: its status, what it says, and which procedures say it. */
export function describeServerReasons(program: ts.Program, procedures: readonly Procedure[]): string {
  const refusals = program
    .getSourceFiles()
    .filter(({ fileName }) => /\/packages\/(?:core|router)\/src\//.test(fileName))
    .flatMap((source) => refusalsIn(program.getTypeChecker(), source));
  const rows = readUnion(program, "packages/core/src/errors.ts", "ErrorReason").map(({ name }) => {
    const said = refusals.filter(({ reason }) => reason === name);
    const statuses = new Set(said.map(statusOf));
    const sentences = new Set(said.flatMap((refusal) => refusal.sentences));
    const speakers = procedures
      .filter(({ reasons }) => reasons.has(name))
      .map(({ path }) => `[${path}](procedures.md#${anchorOf(path)})`);
    const saidBy = generalReasons.get(name) ?? speakers.join(", ");
    if (saidBy === "") throw new Error(`No procedure says no with ${name}: who does?`);
    return [`\`${name}\``, [...statuses].join(", "), [...sentences].join("<br>"), saidBy];
  });
  return renderTable(["reason", "status", "what it says", "said by"], rows);
}

/** tRPC names its codes after those of HTTP. */
function statusOf({ kind, code = codes[kind as ErrorKind] }: Refusal): string {
  const known = code === "METHOD_NOT_SUPPORTED" ? "METHOD_NOT_ALLOWED" : code;
  const [status] =
    Object.entries(STATUS_CODES).find(([, name]) => name?.toUpperCase().replaceAll(" ", "_") === known) ?? [];
  if (status === undefined) throw new Error(`No HTTP status is called ${code}.`);
  return status;
}

/** The reasons that the client itself finds. */
export function describeClientReasons(program: ts.Program): string {
  const rows = readUnion(program, "packages/client/src/errors.ts", "ClientReason");
  return renderTable(
    ["reason", "meaning"],
    rows.map(({ name, note }) => [`\`${name}\``, note]),
  );
}

/** How GitHub names a heading. */
export function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\w -]/g, "")
    .replaceAll(" ", "-");
}

/** The members of a union of strings, with the comment before each. */
function readUnion(program: ts.Program, file: string, name: string): { name: string; note: string }[] {
  const source = program.getSourceFiles().find(({ fileName }) => fileName.endsWith(`/${file}`));
  const alias = source?.statements.filter(ts.isTypeAliasDeclaration).find((type) => type.name.text === name);
  if (source === undefined || alias === undefined || !ts.isUnionTypeNode(alias.type)) {
    throw new Error(`${file} has no union ${name}.`);
  }
  return alias.type.types.filter(ts.isLiteralTypeNode).map((member) => {
    // The comment stands before the `|`, so it is not the member's own.
    const before = source.text.slice(0, member.getStart()).match(/\/\*\*((?:[^*]|\*(?!\/))*)\*\/\s*\|\s*$/);
    return {
      name: member.literal.getText().slice(1, -1),
      note: oneLine((before?.[1] ?? "").replaceAll(/^\s*\*/gm, "")),
    };
  });
}
