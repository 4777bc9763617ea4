import { text } from "node:stream/consumers";

import { exitCode } from "./exit-code.ts";
import { Failure } from "./failure.ts";

const context = { output: process.stderr };

/** A password: from standard input, or asked for. */
export async function readPassword(
  fromStandardInput: boolean | undefined,
  message = "Password",
): Promise<string> {
  if (fromStandardInput) return await readStandardInput("password");
  requireTerminal("--password-stdin");
  return await askHidden(message);
}

/** A password nobody has typed before, so asked for twice. */
export async function readNewPassword(fromStandardInput: boolean | undefined): Promise<string> {
  const password = await readPassword(fromStandardInput, "New password (at least 15 characters)");
  if (fromStandardInput) return password;
  if ((await askHidden("The same again")) === password) return password;
  throw new Failure("The two passwords are not the same. Nothing was changed; try again.");
}

/** A secret: from standard input where that is not a terminal, else asked for without an echo. */
export async function readSecretInput(message: string): Promise<string> {
  return process.stdin.isTTY ? await askHidden(message) : await readStandardInput("secret");
}

/** @throws Failure when there is nobody to ask; `flag` says yes without asking */
export async function confirm(message: string, flag: string): Promise<boolean> {
  requireTerminal(flag);
  const prompts = await import("@inquirer/prompts");
  return await prompts.confirm({ message, default: false }, context);
}

async function askHidden(message: string): Promise<string> {
  const prompts = await import("@inquirer/prompts");
  return await prompts.password({ message }, context);
}

/** Everything there is, without the line break that `echo` and editors put at the end. */
async function readStandardInput(what: string): Promise<string> {
  if (process.stdin.isTTY)
    process.stderr.write(`Reading the ${what} from standard input; end with Ctrl-D.\n`);
  const given = (await text(process.stdin)).replace(/\r?\n$/, "");
  if (given === "") throw new Failure(`Standard input has no ${what}.`, exitCode.usage);
  return given;
}

function requireTerminal(flag: string): void {
  if (process.stdin.isTTY) return;
  throw new Failure(
    `Nobody can be asked here: standard input is not a terminal. Use ${flag}.`,
    exitCode.usage,
  );
}
