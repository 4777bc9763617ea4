import type { ServerTypeView } from "@minimcp/client";
import type { Command } from "commander";

import { connect, type ServerOptions } from "../account/connect.ts";
import { formatTable } from "../table.ts";
import { print, printJson } from "../terminal.ts";
import { addServerCommand } from "./server-command.ts";

export function addTypes(program: Command): void {
  addServerCommand(program, "types")
    .description("list the kinds of servers an instance can be made of")
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<ServerOptions>();
      const { client } = await connect(options);
      const catalogue = await client.mcp.types.query();
      if (options.json) {
        printJson(catalogue);
        return;
      }
      print(formatTypes(catalogue.items));
      print(`\nisolation now: ${catalogue.isolation?.level ?? "no worker is running"}`);
    });
}

function formatTypes(items: readonly ServerTypeView[]): string {
  return formatTable(
    ["TYPE", "VERSION", "TITLE", "KEY", "HOSTS", "TOOLS"],
    items.map((type) => [
      type.id,
      type.version,
      type.title,
      type.provider ?? "none",
      type.hosts.join(", ") || "none",
      String(type.tools.length),
    ]),
  );
}
