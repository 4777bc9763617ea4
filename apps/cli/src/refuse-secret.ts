import { exitCode } from "./exit-code.ts";
import { Failure } from "./failure.ts";

/** How keys of the providers begin, and of others that are easily mixed up with them. */
const prefixes =
  /^(gh[opsu]_|github_pat_|figd_|figo_|ya29\.|AIza|GOCSPX-|1\/\/0|sk-|xox[abops]-|mcp_|mss_|mrt_|eyJ)/;

/** Long, without blanks, of letters and digits: nobody calls a thing so, and many keys look so. */
const random = /^(?=.*\d)(?=.*[A-Za-z])[\w+/=.-]{32,}$/;

/**
 * A secret in an argument is in the shell's history, and readable by every user of the machine while the command runs.
 * @throws Failure for arguments that look like one; never repeats it
 */
export function refuseSecrets(args: readonly string[]): void {
  if (!args.some((text) => prefixes.test(text) || random.test(text))) return;
  throw new Failure(
    "An argument looks like a secret. Type it at the prompt or give it on standard input: arguments stay in your " +
      "shell's history, and every user of this machine can read them. Consider this one exposed and replace it.",
    exitCode.usage,
  );
}
