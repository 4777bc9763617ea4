import { CommanderError } from "commander";

import { exitCode } from "./exit-code.ts";
import { ownCommand } from "./own-command.ts";

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

const signIn = `Sign in with: ${ownCommand("login --email you@example.com")}`;
const whatRuns = `What runs on this machine, and where: ${ownCommand("status")}`;

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
    // The server's sentence is for programs, which send tokens.
    ...(reason === "auth.signInRequired" ? { message: "You are not signed in." } : {}),
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
  "client.incompatibleServer": whatRuns,
  "client.network": whatRuns,
  "mcp.keyRequired": `Name it with --key; see: ${ownCommand("keys ls")}`,
  "mcp.noWorker": `On the server, see: ${ownCommand("status")}`,
  "mcp.typeUnknown": `See: ${ownCommand("types")}`,
};

/** The command that helps with an error; null where the sentence says it all. */
export function suggestNextStep(reason: string | null): string | null {
  return (reason !== null && nextSteps[reason]) || null;
}

export function describeError(error: unknown): string {
  if (isInterruptedPrompt(error)) return "Interrupted; nothing was changed.";
  if (error instanceof CommanderError) return error.message.replace(/^error: /, "");
  return error instanceof Error ? error.message : String(error);
}

function codeOf(error: unknown): number {
  if (error instanceof Failure) return error.exitCode;
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCode.ok : exitCode.usage;
  if (!(error instanceof Error)) return exitCode.failed;
  if (refusals.has(error.name)) return exitCode.configuration;
  if (isInterruptedPrompt(error)) return exitCode.interrupted;
  return exitCode.failed;
}

/** Ctrl-C or Ctrl-D at a question; what is asked for is needed before anything is done. */
function isInterruptedPrompt(error: unknown): boolean {
  return error instanceof Error && (error.name === "ExitPromptError" || error.name === "AbortPromptError");
}
