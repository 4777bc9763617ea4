import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

import type { Command } from "commander";

import { exitCode } from "../exit-code.ts";
import { Failure } from "../failure.ts";
import { interruptible } from "../interrupt.ts";
import { homeAt, readSecret } from "../supervisor/home.ts";
import { print } from "../terminal.ts";

const directory = fileURLToPath(new URL("../../../api/src/scripts", import.meta.url));

export function addScript(program: Command): void {
  program
    .command("script")
    .description("run a script for operators; needs the secrets of the home, and no sign-in")
    .argument("[name]", "which; without one, they are listed")
    .argument("[arguments...]", "what the script takes; --help tells it")
    // All options are the script's.
    .allowUnknownOption()
    .helpOption(false)
    .action(runScript);
}

async function runScript(name: string | undefined, args: string[]): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isFile()).map((entry) => basename(entry.name, ".ts"));
  if (name === undefined || name === "--help") {
    print(names.join("\n"));
    return;
  }
  if (!names.includes(name)) {
    throw new Failure(`There is no script ${name}. There are: ${names.join(", ")}.`, exitCode.usage);
  }
  const { environment, release } = await prepareEnvironment();
  try {
    const code = await interruptible(async (signal) => {
      const script = spawn(process.execPath, [join(directory, `${name}.ts`), ...args], {
        env: environment,
        stdio: "inherit",
        signal,
      });
      const [ended] = (await once(script, "close")) as [number | null];
      return ended ?? exitCode.failed;
    });
    if (code !== exitCode.ok) throw new Failure(`${name} has failed.`, code);
  } finally {
    await release();
  }
}

/** What the API of this home would be started with. */
async function prepareEnvironment() {
  const [{ productSettings, takeServerConfig }, { buildChildEnvironment }, { findRunningDatabase }] =
    await Promise.all([
      import("../env.ts"),
      import("../supervisor/child-environment.ts"),
      import("../supervisor/running-database.ts"),
    ]);
  const { settings, environment } = takeServerConfig();
  const home = homeAt(settings.MINIMCP_HOME);
  const databaseUrl = await findRunningDatabase(settings, home);
  const { MASTER_KEY: value, MASTER_KEY_FILE: file } = environment;
  return await buildChildEnvironment(
    {
      fields: productSettings,
      given: environment,
      fixed: { MINIMCP_HOME: home.path },
      secrets: {
        DATABASE_URL_API: { value: databaseUrl },
        MASTER_KEY: file ? { file } : { value: value || (await readSecret(home, "master-key")) },
      },
    },
    home.handover,
  );
}
