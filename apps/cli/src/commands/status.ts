import type { Command } from "commander";

import { exitCode } from "../exit-code.ts";
import { Failure } from "../failure.ts";
import { formatDuration } from "../format-time.ts";
import { readStatus } from "../supervisor/control-client.ts";
import { homeAt } from "../supervisor/home.ts";
import type { PartStatus, ProductStatus } from "../supervisor/product-status.ts";
import { formatFields } from "../table.ts";
import { print, printJson } from "../terminal.ts";

export function addStatus(program: Command): void {
  program
    .command("status")
    .description("tell what runs in this home")
    .option("--json", "print one JSON object")
    .addHelpText("after", "\nEnds with exit code 3 when nothing runs.")
    .action(async (options: { json?: boolean }) => {
      const { readHomePath } = await import("../env.ts");
      const home = homeAt(readHomePath());
      const status = await readStatus(home);
      if (status === undefined) {
        if (options.json) printJson({ state: "stopped", home: home.path });
        throw new Failure(
          `MiniMCP does not run in ${home.path}. Start it with: npm start`,
          exitCode.notRunning,
        );
      }
      if (options.json) printJson(status);
      else print(describeStatus(status));
    });
}

function describeStatus(status: ProductStatus): string {
  const { isolation, database } = status;
  return formatFields([
    ["state", `${status.state}, process ${status.pid}, for ${formatDuration(status.uptimeSeconds * 1000)}`],
    ["home", `${status.home} (${status.mode} mode)`],
    ["api", describePart(status.api)],
    ["gateway", describePart(status.gateway)],
    ["dashboard", status.dashboard === null ? "off" : describePart(status.dashboard)],
    ["database", `${database.kind}, ${database.state}${describeRestarts(database.restarts)}`],
    ["isolation", isolation?.level ?? "not known yet"],
    ...(isolation?.advice ?? []).map((advice): [string, string] => ["", `to raise it: ${advice}`]),
  ]);
}

function describePart({ url, state, pid, restarts, logTrouble }: PartStatus): string {
  const process = pid === null ? null : `process ${pid}`;
  const log = logTrouble === null ? null : `its log cannot be written (${logTrouble})`;
  const where = [url, state, process, log].filter((part) => part !== null);
  return `${where.join(", ")}${describeRestarts(restarts)}`;
}

function describeRestarts(restarts: number): string {
  if (restarts === 0) return "";
  return `, started again ${restarts === 1 ? "once" : `${restarts} times`}`;
}
