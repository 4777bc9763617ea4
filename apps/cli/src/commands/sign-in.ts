import type { Command } from "commander";

import { connect, type ServerOptions } from "../account/connect.ts";
import { readNewPassword, readPassword } from "../ask.ts";
import { ownCommand } from "../own-command.ts";
import { formatFields } from "../table.ts";
import { print, printJson } from "../terminal.ts";
import { addServerCommand } from "./server-command.ts";

interface SignInOptions extends ServerOptions {
  email: string;
  passwordStdin?: boolean;
}

interface SignUpOptions extends SignInOptions {
  invite?: string;
  name?: string;
}

const next = `next: ${ownCommand("run everything --for 60m")}`;

export function addSignIn(program: Command): void {
  addServerCommand(program, "login")
    .description("sign in, and stay signed in on this machine")
    .requiredOption("--email <address>", "the account's e-mail address")
    .option("--password-stdin", "read the password from standard input")
    .addHelpText(
      "after",
      `
Tokens are kept in a file that only you can read, one sign-in a server. Later commands use the server of the last one.

Examples:
  $ ${ownCommand("login --email you@example.com")}
  $ ${ownCommand("login --url https://mcp.example.com --email you@example.com --password-stdin")} < password-file`,
    )
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<SignInOptions>();
      const { client, credentials, server } = await connect(options);
      const password = await readPassword(options.passwordStdin);
      const { user } = await client.auth.signIn.mutate({ email: options.email, password });
      await credentials.makeCurrent(server, user.email);
      if (options.json) printJson({ server, user });
      else {
        print(`signed in at ${server} as ${user.email}`);
        print(next);
      }
    });

  addServerCommand(program, "signup")
    .description("create an account, and sign in")
    .requiredOption("--email <address>", "the account's e-mail address")
    .option("--invite <code>", "the invitation, where the server wants one")
    .option("--name <name>", "how you are called")
    .option("--password-stdin", "read the password from standard input")
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<SignUpOptions>();
      const { client, credentials, server } = await connect(options);
      const password = await readNewPassword(options.passwordStdin);
      const { user } = await client.auth.signUp.mutate({
        email: options.email,
        password,
        ...(options.name === undefined ? {} : { name: options.name }),
        ...(options.invite === undefined ? {} : { inviteCode: options.invite }),
      });
      await credentials.makeCurrent(server, user.email);
      if (options.json) printJson({ server, user });
      else {
        print(`created the account ${user.email} at ${server}; you are signed in`);
        print(next);
      }
    });

  addServerCommand(program, "logout")
    .description("sign out; the tokens are dead at once")
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<ServerOptions>();
      const { client, server } = await connect(options);
      await client.auth.signOut.mutate();
      if (options.json) printJson({ server });
      else print(`signed out at ${server}`);
    });

  addServerCommand(program, "whoami")
    .description("tell who is signed in, and what they may do")
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<ServerOptions>();
      const { client, server } = await connect(options);
      const me = await client.auth.me.query();
      if (options.json) {
        printJson({ server, ...me });
        return;
      }
      print(
        formatFields([
          ["account", `${me.user.email} (${me.user.role})`],
          ["server", server],
          ["may", me.permissions.join(", ")],
        ]),
      );
    });
}
