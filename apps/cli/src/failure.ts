import { CommanderError } from "commander";

import { exitCode } from "./exit-code.ts";

/** A command that cannot do its work. The message says what to do next. */
export class Failure extends Error {
  override readonly name = "Failure";
  readonly exitCode: number;

  constructor(message: string, code: number = exitCode.failed) {
    super(message);
    this.exitCode = code;
  }
}

/** What is told of an error. */
export interface FailureReport {
  exitCode: number;
  message: string;
  /** The closed reason of an error that has one. */
  reason: string | null;
  /** Under this the operator finds the call in logs and audit trail. */
  requestId: string | null;
  issues: readonly { path: readonly (string | number)[]; message: string }[];
}

const signIn = "Sign in with: minimcp login --email you@example.com";

/** By name: loading the server's packages to tell their errors apart would cost more than most commands. */
const refusals: ReadonlySet<string> = new Set(["ConfigError", "KeyringError", "SchemaMismatch"]);

export function reportFailure(error: unknown): FailureReport {
  const report = {
    exitCode: codeOf(error),
    message: describeError(error),
    reason: null,
    requestId: null,
    issues: [],
  };
  if (!(error instanceof Error)) return report;
  const { reason, requestId, issues } = error as Partial<FailureReport> & Error;
  return {
    ...report,
    reason: typeof reason === "string" ? reason : null,
    requestId: typeof requestId === "string" ? requestId : null,
    issues: Array.isArray(issues) ? issues : [],
  };
}

/** What helps, by the reason of a refusal: commands that the server, which says the sentence, knows nothing of. */
const nextSteps: Readonly<Record<string, string>> = {
  "auth.refreshTokenInvalid": signIn,
  "auth.refreshTokenReused": signIn,
  "auth.sessionEnded": signIn,
  "auth.signInRequired": signIn,
  "auth.tokenExpired": signIn,
  "auth.tokenInvalid": signIn,
  "mcp.keyRequired": "Name it with --key; see: minimcp keys ls",
  "mcp.noWorker": "On the server, see: minimcp status",
  "mcp.typeUnknown": "See: minimcp types",
};

/** The command that helps with an error; null where the sentence says it all. */
export function suggestNextStep(reason: string | null): string | null {
  return (reason !== null && nextSteps[reason]) || null;
}

export function describeError(error: unknown): string {
  if (error instanceof CommanderError) return error.message.replace(/^error: /, "");
  return error instanceof Error ? error.message : String(error);
}

function codeOf(error: unknown): number {
  if (error instanceof Failure) return error.exitCode;
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCode.ok : exitCode.usage;
  if (!(error instanceof Error)) return exitCode.failed;
  if (refusals.has(error.name)) return exitCode.configuration;
  // Ctrl-C at a prompt.
  if (error.name === "ExitPromptError" || error.name === "AbortPromptError") return exitCode.interrupted;
  return exitCode.failed;
}
