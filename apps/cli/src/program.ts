import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

import { Command, Option } from "commander";

import { addAdmin } from "./commands/admin.ts";
import { addConfig } from "./commands/config.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addInstances } from "./commands/instances.ts";
import { addKeys } from "./commands/keys.ts";
import { addMigrate } from "./commands/migrate.ts";
import { addRun } from "./commands/run.ts";
import { addScript } from "./commands/script.ts";
import { addSignIn } from "./commands/sign-in.ts";
import { addStart } from "./commands/start.ts";
import { addStatus } from "./commands/status.ts";
import { addStop } from "./commands/stop.ts";
import { addTypes } from "./commands/types.ts";
import { ownCommand } from "./own-command.ts";

const defaultConfigHome = join(homedir(), ".config");

export function createProgram(version: string): Command {
  const program = new Command("minimcp")
    .description("Short-lived, isolated MCP endpoints that never see your API key.")
    .version(version)
    .addOption(
      new Option("--config-home <directory>", "where sign-ins are kept, in <directory>/minimcp")
        .env("XDG_CONFIG_HOME")
        // An empty variable means the default, and so does a relative path (XDG Base Directory Specification).
        .argParser((directory) => (isAbsolute(directory) ? directory : defaultConfigHome))
        .default(defaultConfigHome),
    )
    .addOption(
      new Option("--log-level <level>", "with debug, errors come with their stack")
        .env("LOG_LEVEL")
        .hideHelp(),
    )
    .addHelpText(
      "after",
      `
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not running, 78 the configuration cannot be used, 130 interrupted.

The first endpoint:
  $ npm start
  $ ${ownCommand("admin create --email you@example.com")}
  $ ${ownCommand("login --email you@example.com")}
  $ ${ownCommand("run everything --for 60m")}`,
    )
    .showSuggestionAfterError()
    // What is wrong is told in one place, for people or as JSON.
    .configureOutput({ outputError: () => undefined })
    .exitOverride();
  program.commandsGroup("This installation:");
  addStart(program);
  addStatus(program);
  addStop(program);
  addMigrate(program);
  addConfig(program);
  addAdmin(program);
  addDoctor(program);
  addScript(program);
  program.commandsGroup("Your account:");
  addSignIn(program);
  addKeys(program);
  program.commandsGroup("Instances:");
  addRun(program);
  addInstances(program);
  addTypes(program);
  return program;
}
