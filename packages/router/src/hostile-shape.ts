import { InvalidInput } from "@minimcp/core";

const maxDepth = 32;
const forbiddenKeys = new Set(["__proto__", "constructor", "prototype"]);

/**
 * Refuses input that is built to hurt what parses it: nested without end, or carrying keys that reach into
 * JavaScript's object model. Validation would drop some of these in silence; a refusal says so.
 * @throws InvalidInput
 */
export function refuseHostileShape(input: unknown, path: readonly (string | number)[] = []): void {
  if (typeof input !== "object" || input === null) return;
  if (path.length >= maxDepth) {
    throw new InvalidInput("input.invalid", `The input is nested deeper than ${maxDepth} levels.`);
  }
  for (const key of Object.keys(input)) {
    if (forbiddenKeys.has(key)) {
      throw new InvalidInput("input.invalid", `The input has a field named ${key}, which is never allowed.`, {
        issues: [{ path: [...path, key], message: "is never allowed" }],
      });
    }
    refuseHostileShape((input as Record<string, unknown>)[key], [...path, key]);
  }
}
