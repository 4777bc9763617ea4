import type { Command } from "commander";

import { Failure } from "../failure.ts";
import { waitForLock } from "../file-lock.ts";
import { interruptible } from "../interrupt.ts";
import { ownCommand } from "../own-command.ts";
import { readStatus } from "../supervisor/control-client.ts";
import { homeAt, prepareHome } from "../supervisor/home.ts";
import { note, print, printJson } from "../terminal.ts";

const lockTimeoutMs = 1_000;

export function addMigrate(program: Command): void {
  program
    .command("migrate")
    .description("bring the database to this version, without starting anything else")
    .option("--json", "print one JSON object")
    .addHelpText(
      "after",
      "\n`minimcp start` does the same before it starts. This is for an external database (DATABASE_URL) whose processes\nrun elsewhere, or to see a migration happen by itself.",
    )
    .action(async (options: { json?: boolean }) => {
      const [{ takeServerConfig }, { bringUpToDate, openProductDatabase }] = await Promise.all([
        import("../env.ts"),
        import("../supervisor/product-database.ts"),
      ]);
      const { settings } = takeServerConfig();
      const home = homeAt(settings.MINIMCP_HOME);
      await prepareHome(home);
      if (settings.DATABASE_URL === undefined && (await readStatus(home)) !== undefined) {
        throw new Failure(
          `MiniMCP runs in ${home.path}, on a database that its start has migrated. Stop it first: ${ownCommand("stop")}`,
        );
      }
      using _lock =
        settings.DATABASE_URL === undefined ? await waitForLock(home.lock, lockTimeoutMs) : undefined;
      const applied = await interruptible(async (signal) => {
        await using database = await openProductDatabase(settings, home, { report: note, signal });
        return await bringUpToDate(settings, home, database.ownerUrl, signal);
      });
      if (options.json) printJson({ applied });
      else print(applied.length === 0 ? "the database is up to date" : `applied: ${applied.join(", ")}`);
    });
}
