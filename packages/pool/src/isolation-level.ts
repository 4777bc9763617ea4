/**
 * - `strict`: namespaces, system call filter, limits, Node's permission model, and a uid of its own.
 * - `contained`: the same launched by an ordinary user, so children share the worker's uid.
 * - `hardened`: root without namespaces: a uid of its own, limits, Node's permission model.
 * - `none`: a clean environment.
 */
export type IsolationLevel = "strict" | "contained" | "hardened" | "none";

/** From the weakest to the strongest. */
const levels: readonly IsolationLevel[] = ["none", "hardened", "contained", "strict"];

/** Whether a level is at least as strong as the required one. */
export function meetsLevel(level: IsolationLevel, required: IsolationLevel): boolean {
  return levels.indexOf(level) >= levels.indexOf(required);
}
