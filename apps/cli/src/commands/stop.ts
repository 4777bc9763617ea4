import type { Command } from "commander";

import { exitCode } from "../exit-code.ts";
import { Failure } from "../failure.ts";
import { ownCommand } from "../own-command.ts";
import { parseSeconds } from "../parse-option.ts";
import { stopProduct } from "../supervisor/control-client.ts";
import { homeAt } from "../supervisor/home.ts";
import { note, print, printJson } from "../terminal.ts";

interface StopOptions {
  timeout: number;
  json?: boolean;
}

export function addStop(program: Command): void {
  program
    .command("stop")
    .description("stop what runs in this home, and wait until it has ended")
    .option("--timeout <seconds>", "how long to wait", parseSeconds, 60)
    .option("--json", "print one JSON object")
    .addHelpText("after", "\nEnds with exit code 3 when nothing runs.")
    .action(async ({ timeout, json }: StopOptions) => {
      const { readHomePath } = await import("../env.ts");
      const home = homeAt(readHomePath());
      const limit = AbortSignal.timeout(timeout * 1_000);
      const wasRunning = await stopProduct(home, { signal: limit, onProgress: note }).catch(
        (error: unknown) => {
          if (!limit.aborted) throw error;
          throw new Failure(
            `It has not ended after ${timeout} s. It goes on stopping; see: ${ownCommand("status")}`,
          );
        },
      );
      if (!wasRunning) {
        if (json) printJson({ state: "stopped", wasRunning });
        throw new Failure(`MiniMCP does not run in ${home.path}.`, exitCode.notRunning);
      }
      if (json) printJson({ state: "stopped", wasRunning });
      else print("stopped");
    });
}
