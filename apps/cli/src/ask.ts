import { text } from "node:stream/consumers";

import { exitCode } from "./exit-code.ts";
import { Failure } from "./failure.ts";

const context = { output: process.stderr };

/** A password: from standard input, or asked for. */
export async function readPassword(fromStandardInput: boolean | undefined): Promise<string> {
  if (fromStandardInput) return await readStandardInput("password");
  requireTerminal("--password-stdin");
  return await askHidden("Password");
}

/** A password nobody has typed before, so asked for twice. */
export async function readNewPassword(fromStandardInput: boolean | undefined): Promise<string> {
  if (fromStandardInput) return await readPassword(fromStandardInput);
  requireTerminal("--password-stdin");
  const { NewPassword } = await import("@minimcp/core");
  const password = await askHidden("New password (at least 15 characters)", (typed) => {
    const { error } = NewPassword.safeParse(typed);
    return error === undefined || `It ${error.issues[0]?.message}.`;
  });
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

/** @param judge says what is wrong with the answer, which is then asked for again */
async function askHidden(message: string, judge?: (typed: string) => true | string): Promise<string> {
  const prompts = await import("@inquirer/prompts");
  return await prompts.password({ message, ...(judge && { validate: judge }) }, context);
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
