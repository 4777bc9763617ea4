import type { Command } from "commander";

import { parseServer } from "../account/connect.ts";

/** A command that talks to a server. */
export function addServerCommand(parent: Command, nameAndArguments: string): Command {
  return parent
    .command(nameAndArguments)
    .option("--url <address>", "the server's API (default: that of the last sign-in)", parseServer)
    .option("--json", "print one JSON object");
}
