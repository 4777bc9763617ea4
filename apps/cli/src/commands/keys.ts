import type { ApiKeyProvider, ApiKeyView } from "@minimcp/client";
import type { Command } from "commander";

import { connect, type ServerOptions } from "../account/connect.ts";
import { findKey, listInstances } from "../account/find-own.ts";
import { confirm, readSecretInput } from "../ask.ts";
import { Failure } from "../failure.ts";
import { formatRelative } from "../format-time.ts";
import { ownCommand } from "../own-command.ts";
import { refuseSecrets } from "../refuse-secret.ts";
import { formatTable } from "../table.ts";
import { print, printJson } from "../terminal.ts";
import { addServerCommand } from "./server-command.ts";

interface AddOptions extends ServerOptions {
  label: string;
}

interface RemoveOptions extends ServerOptions {
  yes?: boolean;
}

export function addKeys(program: Command): void {
  const keys = program.command("keys").description("your upstream API keys");

  addServerCommand(keys, "add <provider>")
    .description("store a key, sealed; its secret is never shown again")
    .requiredOption("--label <label>", "how you call it")
    // What comes in surplus is looked at before it is refused: it may be the secret.
    .allowExcessArguments()
    .addHelpText(
      "after",
      `
The secret is asked for without an echo, or read from standard input. It is never an argument.

Examples:
  $ ${ownCommand("keys add github --label work")}
  $ pass show github/work | ${ownCommand("keys add github --label work")}`,
    )
    .action(async (provider: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<AddOptions>();
      refuseSecrets([...command.args, options.label]);
      if (command.args.length > 1) command.error("error: too many arguments; the secret is asked for");
      const { client } = await connect(options);
      const secret = await readSecretInput(`The ${provider} key`);
      const key = await client.apiKey.create.mutate({
        // The server knows which there are.
        provider: provider as ApiKeyProvider,
        label: options.label,
        secret,
      });
      if (options.json) printJson(key);
      else print(`stored the ${key.provider} key "${key.label}"${key.hint && `, which ends in ${key.hint}`}`);
    });

  addServerCommand(keys, "ls")
    .description("list your keys")
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<ServerOptions>();
      const { client } = await connect(options);
      const { items } = await client.apiKey.list.query();
      if (options.json) printJson({ items });
      else if (items.length === 0)
        print(`no keys yet; store one with: ${ownCommand("keys add <provider> --label <label>")}`);
      else print(formatKeys(items));
    });

  addServerCommand(keys, "rm <label-or-id>")
    .description("delete a key; instances that use it end with it")
    .option("--yes", "do not ask")
    .action(async (labelOrId: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<RemoveOptions>();
      const { client } = await connect(options);
      const key = await findKey(client, labelOrId);
      const affected = (await listInstances(client, { live: true }))
        .filter((instance) => instance.apiKeyId === key.id)
        .map((instance) => instance.id);
      const consequence =
        affected.length === 0
          ? "No instance uses it."
          : `These instances end with it: ${affected.join(", ")}.`;
      const question = `Delete the ${key.provider} key "${key.label}"? ${consequence}`;
      if (!options.yes && !(await confirm(question, "--yes"))) throw new Failure("Nothing was deleted.");
      await client.apiKey.delete.mutate({ id: key.id });
      if (options.json) printJson({ key, endedInstances: affected });
      else print(`deleted the ${key.provider} key "${key.label}". ${consequence}`);
    });
}

function formatKeys(items: readonly ApiKeyView[]): string {
  return formatTable(
    ["LABEL", "PROVIDER", "ENDS IN", "INSTANCES", "USED", "ADDED", "ID"],
    items.map((key) => [
      key.label,
      key.provider,
      key.hint,
      String(key.liveInstances),
      key.lastUsedAt === null ? "never" : formatRelative(key.lastUsedAt),
      formatRelative(key.createdAt),
      key.id.slice(0, 8),
    ]),
  );
}
