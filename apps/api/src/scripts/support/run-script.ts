import { randomUUID } from "node:crypto";

import { actingFor, ConfigError, system, type UserView } from "@minimcp/core";
import { openLog } from "@minimcp/core/service";
import { answerFor, createCaller } from "@minimcp/router";
import { TRPCError } from "@trpc/server";
import type { Command } from "commander";
import { pino } from "pino";

import { takeApiConfig } from "../../env.ts";
import { openServices, openStores } from "../../open-services.ts";

type Caller = ReturnType<typeof createCaller>;

/** What a script works with. */
export interface Script {
  /** The procedures as the product itself calls them; in the audit trail they are nobody's doing. */
  asProduct: Caller;
  /** The procedures as one user calls them: on their things, with their permissions, under their name. */
  actingFor(user: Pick<UserView, "id" | "role">): Caller;
  /** Writes to standard output, which is for results alone. */
  print: (text: string) => void;
}

/** Something that the script's caller has to put right. Its message says what. */
export class ScriptError extends Error {}

/** EX_CONFIG of sysexits.h: starting again with the same configuration cannot help. */
const exitConfig = 78;

/**
 * Runs a script of an operator with the API's configuration, without the network: `--help` needs none of it. The audit
 * trail shows each call under the script's name, with one request id for all of a run. What went wrong is said on
 * standard error, and makes the exit code 1, or 78 where it is the configuration.
 * @param command its name, options and arguments, which `work` can read from it
 */
export async function runScript(command: Command, work: (script: Script) => Promise<void>): Promise<void> {
  command.showHelpAfterError().parse();
  try {
    const config = takeApiConfig();
    const log = openLog(command.name(), config.LOG_LEVEL, pino.destination({ fd: 2, sync: true }));
    await using resources = new AsyncDisposableStack();
    const stores = resources.use(await openStores(config, log, `minimcp ${command.name()}`));
    const services = resources.use(await openServices(config, log, stores, { port: config.API_PORT }));
    const request = { id: randomUUID(), ipAddress: null, userAgent: `script ${command.name()}` };
    const context = { ...services.context, request };
    const script: Script = {
      asProduct: createCaller(context, system(command.name())),
      actingFor: (user) => createCaller(context, actingFor(user)),
      print: (text) => process.stdout.write(text),
    };
    await work(script);
  } catch (error) {
    process.stderr.write(`${explain(error)}\n`);
    process.exitCode = error instanceof ConfigError ? exitConfig : 1;
  }
}

/** A refusal in its own words, with the fields that it is about; of anything unexpected, all there is. */
function explain(error: unknown): string {
  if (error instanceof ConfigError || error instanceof ScriptError) return error.message;
  if (error instanceof TRPCError) {
    const { kind, message } = answerFor(error);
    if (kind !== "internal") return message;
  }
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
