import { type Command, Option } from "commander";

import { connect, findDashboard, type ServerOptions } from "../account/connect.ts";
import { readNewPassword } from "../ask.ts";
import { formatRelative } from "../format-time.ts";
import { ownCommand } from "../own-command.ts";
import { homeAt } from "../supervisor/home.ts";
import { formatFields } from "../table.ts";
import { print, printJson } from "../terminal.ts";
import { addServerCommand } from "./server-command.ts";

interface CreateOptions {
  email: string;
  name?: string;
  passwordStdin?: boolean;
  json?: boolean;
}

interface InviteOptions extends ServerOptions {
  email?: string;
  role: "user" | "auditor" | "admin";
}

export function addAdmin(program: Command): void {
  const admin = program.command("admin").description("accounts of this installation");

  admin
    .command("create")
    .description("create an administrator; needs the secrets of the home, and no sign-in")
    .requiredOption("--email <address>", "their e-mail address")
    .option("--name <name>", "how they are called")
    .option("--password-stdin", "read the password from standard input")
    .option("--json", "print one JSON object")
    .addHelpText("after", "\nWorks while `minimcp start` runs in the same home, by the same user.")
    .action(createAdministrator);

  addServerCommand(admin, "invite")
    .description("make a code with which one person can create an account (as a signed-in administrator)")
    .option("--email <address>", "only this address can use it")
    .addOption(
      new Option("--role <role>", "what the account may do")
        .choices(["user", "auditor", "admin"])
        .default("user"),
    )
    .action(async (_: unknown, command: Command) => {
      const { email, role, ...options } = command.optsWithGlobals<InviteOptions>();
      const { client, server } = await connect(options);
      const invitation = await client.admin.invitations.create.mutate({
        role,
        ...(email === undefined ? {} : { email }),
      });
      const dashboard = await findDashboard(server);
      // A fragment is sent to no server, so the code gets into no log.
      const joinUrl = dashboard === null ? null : `${dashboard}/join#${invitation.code}`;
      if (options.json) {
        printJson({ ...invitation, joinUrl });
        return;
      }
      const signUp = ownCommand(
        `signup --invite ${invitation.code} --email ${invitation.email ?? "their@example.com"}`,
      );
      print(
        formatFields([
          ["code", `${invitation.code} (shown once)`],
          ["for", `${invitation.email ?? "whoever has it"}, as ${invitation.role}`],
          ["expires", formatRelative(invitation.expiresAt)],
          ["use it", joinUrl ?? signUp],
          ...(joinUrl === null ? [] : [["or type", signUp] as [string, string]]),
        ]),
      );
    });
}

async function createAdministrator(options: CreateOptions): Promise<void> {
  const { readServerConfig } = await import("../env.ts");
  const { settings } = readServerConfig();
  const home = homeAt(settings.MINIMCP_HOME);
  const [{ readDatabaseTls }, { findRunningDatabase }, { addAdministrator }] = await Promise.all([
    import("@minimcp/core"),
    import("../supervisor/running-database.ts"),
    import("../supervisor/first-administrator.ts"),
  ]);
  const url = await findRunningDatabase(settings, home);
  const password = await readNewPassword(options.passwordStdin);
  const { email, name } = options;
  const user = await addAdministrator(
    { url, tls: readDatabaseTls(settings) },
    { email, password, ...(name === undefined ? {} : { name }) },
  );
  if (options.json) printJson({ user });
  else {
    print(`created the administrator ${user.email}`);
    print(`next: ${ownCommand(`login --email ${user.email}`)}`);
  }
}
