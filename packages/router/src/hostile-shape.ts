import { InvalidInput, type InputIssue } from "@minimcp/core";

const maxDepth = 32;
const forbiddenKeys = new Set(["__proto__", "constructor", "prototype"]);

type Path = InputIssue["path"];

/**
 * Refuses input that is built to hurt what handles it: nested without end, carrying keys that reach into JavaScript's
 * object model, or text that the database cannot store. Validation would drop some of these in silence, and others
 * would surface as an error of ours; a refusal says so.
 * @throws InvalidInput
 */
export function refuseHostileShape(input: unknown): void {
  visit(input, [], new Set());
}

/** @param seen what was visited already, so that shared references cost nothing */
function visit(input: unknown, path: Path, seen: Set<object>): void {
  if (typeof input === "string") return refuseHostileText(input, path);
  if (typeof input !== "object" || input === null || seen.has(input)) return;
  seen.add(input);
  if (path.length >= maxDepth) {
    throw new InvalidInput("input.invalid", `The input is nested deeper than ${maxDepth} levels.`);
  }
  const keys = Object.keys(input);
  // An array of length 4,000,000,000 with one element is short to write and long to walk.
  if (Array.isArray(input) && keys.length !== input.length) refuse("has an array with holes", path);
  for (const key of keys) {
    if (forbiddenKeys.has(key)) refuse(`has a field named ${key}, which is never allowed`, [...path, key]);
    refuseHostileText(key, path);
    visit((input as Record<string, unknown>)[key], [...path, key], seen);
  }
}

/** PostgreSQL stores neither U+0000 nor half a surrogate pair. */
function refuseHostileText(text: string, path: Path): void {
  if (text.includes("\0") || !text.isWellFormed()) {
    refuse("has a character that is not text (U+0000 or half a surrogate pair)", path);
  }
}

function refuse(what: string, path: Path): never {
  throw new InvalidInput("input.invalid", `The input ${what}.`, { issues: [{ path, message: what }] });
}
