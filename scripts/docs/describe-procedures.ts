import { z } from "zod";

import { type Permission, permissionTable } from "../../packages/core/src/index.ts";
import { appRouter } from "../../packages/router/src/index.ts";
import { ts } from "../typedoc/index.ts";
import { describeHolders } from "./describe-permissions.ts";
import { type ProcedureRecord, proceduresOf } from "./procedures.ts";
import { declarationOf, findReasons, noteOf, propertiesOf, valueOf } from "./read-source.ts";
import { renderTable } from "./render-table.ts";

export interface Procedure {
  path: string;
  kind: ProcedureRecord["_def"]["type"];
  permission: Permission;
  input: z.ZodType | undefined;
  /** What the docstring of its verb says. */
  summary: string;
  /** What docstrings say of the fields of its input. */
  fieldNotes: ReadonlyMap<string, string>;
  /** What its verb can say no with. */
  reasons: ReadonlySet<string>;
}

/** Every procedure, as it is at run time and as its source tells of it. */
export function readProcedures(checker: ts.TypeChecker, source: ts.SourceFile): Procedure[] {
  const records = new Map(proceduresOf(appRouter));
  return findProcedures(checker, source).map(({ path, input, verb }) => {
    const record = records.get(path);
    if (record === undefined) throw new Error(`The source has a procedure ${path} that the router has not.`);
    return {
      path,
      kind: record._def.type,
      permission: record._def.meta.permission,
      input: record._def.inputs[0],
      summary: noteOf(verb),
      fieldNotes: readFieldNotes(checker, input),
      reasons: findReasons(checker, verb),
    };
  });
}

interface ProcedureSource {
  path: string;
  input: ts.Expression;
  /** The function of core that it calls. */
  verb: ts.Declaration;
}

/** The procedures of `router({ … })` in a source file, in their order. */
function findProcedures(checker: ts.TypeChecker, source: ts.SourceFile): ProcedureSource[] {
  const found: ProcedureSource[] = [];
  const walk = (value: ts.Expression, path: string[]): void => {
    if (ts.isObjectLiteralExpression(value)) {
      for (const property of propertiesOf(checker, value)) walk(property.value, [...path, property.name]);
      return;
    }
    const calls = chainOf(value);
    const input = calls.get("input");
    const resolver = ["query", "mutation", "subscription"].map((kind) => calls.get(kind)).find(Boolean);
    const verb = resolver && findVerb(checker, resolver);
    if (input === undefined || verb === undefined) {
      throw new Error(`${path.join(".")} is not procedure(…).input(…) with one call of a verb.`);
    }
    found.push({ path: path.join("."), input, verb });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && node.expression.getText() === "router" && node.arguments[0]) {
      walk(valueOf(checker, node.arguments[0]), []);
    } else ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** The first argument of each method in `start().one(x).other(y)`. */
function chainOf(expression: ts.Expression): Map<string, ts.Expression> {
  const calls = new Map<string, ts.Expression>();
  let link = expression;
  while (ts.isCallExpression(link) && ts.isPropertyAccessExpression(link.expression)) {
    const [argument] = link.arguments;
    if (argument !== undefined) calls.set(link.expression.name.text, argument);
    link = link.expression.expression;
  }
  return calls;
}

/** The function that a resolver gives its context to. */
function findVerb(checker: ts.TypeChecker, node: ts.Node): ts.Declaration | undefined {
  if (ts.isCallExpression(node) && node.arguments[0]?.getText() === "ctx") {
    return declarationOf(checker, node.expression);
  }
  return ts.forEachChild(node, (child) => findVerb(checker, child));
}

function readFieldNotes(checker: ts.TypeChecker, schema: ts.Expression): Map<string, string> {
  const notes = new Map<string, string>();
  const walk = (expression: ts.Expression): void => {
    const value = valueOf(checker, expression);
    if (ts.isObjectLiteralExpression(value)) {
      for (const { name, property } of propertiesOf(checker, value)) notes.set(name, noteOf(property));
    } else if (ts.isCallExpression(value)) {
      if (ts.isPropertyAccessExpression(value.expression)) walk(value.expression.expression);
      const [argument] = value.arguments;
      if (argument !== undefined) walk(argument);
    }
  };
  walk(schema);
  return notes;
}

const methods = { query: "query", mutation: "mutate", subscription: "subscribe" };

/**
 * @param options.linkOutput the answer of a procedure as Markdown
 * @param options.general reasons that are told once, of many procedures
 */
export function describeProcedures(
  procedures: readonly Procedure[],
  { linkOutput, general }: { linkOutput: (path: string) => string; general: ReadonlySet<string> },
): string {
  const sections = procedures.map((procedure) => {
    const { path, kind, permission, summary, reasons } = procedure;
    const fields = describeInput(procedure);
    const own = [...reasons].filter((reason) => !general.has(reason));
    const lines = [
      `## ${path}`,
      summary,
      `\`client.${path}.${methods[kind]}(${fields === "" ? "" : "input"})\` needs the permission \`${permission}\`: ${describeHolders(permissionTable[permission])}.`,
      fields,
      `${kind === "subscription" ? "Gives, again and again:" : "Answers with"} ${linkOutput(path)}`,
      own.length === 0 ? "" : `Says no with ${own.map((reason) => `\`${reason}\``).join(", ")}`,
    ];
    return lines.filter((line) => line !== "").join("\n\n");
  });
  return `${sections.join("\n\n")}\n`;
}

interface JsonSchema {
  type?: string;
  format?: string;
  enum?: string[];
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  default?: unknown;
  properties?: Record<string, JsonSchema>;
  required?: string[];
}

function describeInput({ input, fieldNotes }: Procedure): string {
  if (input === undefined) return "";
  const schema = z.toJSONSchema(input, { io: "input", unrepresentable: "any" }) as JsonSchema;
  const required = new Set(schema.required);
  const fields = Object.entries(schema.properties ?? {});
  if (fields.length === 0) return "";
  const columns = {
    input: fields.map(([name]) => (required.has(name) ? `\`${name}\`` : `\`${name}?\``)),
    "type and limits": fields.map(([, field]) => describeField(field)),
    default: fields.map(([, field]) =>
      field.default === undefined ? "" : `\`${JSON.stringify(field.default)}\``,
    ),
    meaning: fields.map(([name]) => fieldNotes.get(name) ?? ""),
  };
  const filled = Object.entries(columns).filter(([, cells]) => cells.some((cell) => cell !== ""));
  const rows = fields.map((_, row) => filled.map(([, cells]) => cells[row] ?? ""));
  return renderTable(
    filled.map(([head]) => head),
    rows,
  ).trimEnd();
}

function describeField({ type, format, enum: values, ...limits }: JsonSchema): string {
  if (values !== undefined) return values.map((value) => `\`"${value}"\``).join(" or ");
  if (type === "object") return "`Record<string, string>`";
  if (type === "string") {
    const name = format === "uuid" ? "UUID" : format === "email" ? "e-mail address" : "string";
    return [name, describeRange(limits.minLength, limits.maxLength, "characters")].filter(Boolean).join(", ");
  }
  if (type === "integer") {
    return ["whole number", describeRange(limits.minimum, limits.maximum, "")].filter(Boolean).join(", ");
  }
  return type ?? "any";
}

function describeRange(least: number | undefined, most: number | undefined, unit: string): string {
  if (most === undefined) return least === undefined ? "" : `at least ${least} ${unit}`.trim();
  return (least === undefined ? `at most ${most} ${unit}` : `${least} to ${most} ${unit}`).trim();
}
