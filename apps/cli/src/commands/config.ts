import type { Command } from "commander";

import { print, printJson } from "../terminal.ts";

export function addConfig(program: Command): void {
  const config = program.command("config").description("the configuration of this installation");
  config
    .command("check")
    .description("read the configuration as `start` would, and tell everything that is wrong with it")
    .option("--json", "print one JSON object")
    .addHelpText(
      "after",
      "\nEnds with exit code 78 when it cannot be used. Needs no database, and prints no values.",
    )
    .action(async (options: { json?: boolean }) => {
      const [{ readServerConfig }, { ConfigError }] = await Promise.all([
        import("../env.ts"),
        import("@minimcp/core"),
      ]);
      try {
        const { settings } = readServerConfig();
        if (options.json) printJson({ ok: true, problems: [] });
        else
          print(`The configuration is usable: ${settings.MINIMCP_MODE} mode, home ${settings.MINIMCP_HOME}`);
      } catch (error) {
        if (options.json && error instanceof ConfigError) printJson({ ok: false, problems: error.problems });
        throw error;
      }
    });
}
