import { randomUUID } from "node:crypto";

import {
  type CreatedInstance,
  type InstanceView,
  isReason,
  type MiniMcpClient,
  type RouterInputs,
} from "@minimcp/client";
import { type Command, Option } from "commander";

import { connect, type ServerOptions } from "../account/connect.ts";
import { findKey } from "../account/find-own.ts";
import { exitCode } from "../exit-code.ts";
import { Failure } from "../failure.ts";
import { formatDeadline } from "../format-time.ts";
import { interruptible } from "../interrupt.ts";
import { ownCommand } from "../own-command.ts";
import { parseMinutes } from "../parse-option.ts";
import { formatFields } from "../table.ts";
import { print, printJson, ProgressLine } from "../terminal.ts";
import { addServerCommand } from "./server-command.ts";

/** Which of the snippets a client takes, and where it goes. */
const clients = {
  claude: { snippet: "claudeCode", place: "For Claude Code, in a terminal" },
  desktop: { snippet: "claudeDesktop", place: "For Claude Desktop, in claude_desktop_config.json" },
  cursor: { snippet: "cursor", place: "For Cursor, in .cursor/mcp.json" },
  vscode: { snippet: "vscode", place: "For VS Code, in .vscode/mcp.json" },
} as const;
type ClientName = keyof typeof clients;

interface RunOptions extends ServerOptions {
  for: number;
  key?: string;
  label?: string;
  client?: ClientName;
  wait: boolean;
}

type CreateInput = RouterInputs["mcp"]["create"];

export function addRun(program: Command): void {
  addServerCommand(program, "run <type>")
    .description("create an instance: an MCP endpoint with a token, for a while")
    .requiredOption("--for <time>", "how long it lives: 60m, 90, 2h, at most 24h", parseMinutes)
    .option("--key <label>", "which of your API keys it uses")
    .option("--label <label>", "how you call it")
    .addOption(
      new Option("--client <name>", "print the configuration of this MCP client").choices(
        Object.keys(clients),
      ),
    )
    .option("--no-wait", "do not wait until it serves; calls to it wait by themselves")
    .addHelpText(
      "after",
      `
The token is shown once. Ctrl-C while waiting revokes the instance: nobody has its token then.

Examples:
  $ ${ownCommand("run everything --for 60m")}
  $ ${ownCommand("run everything --for 2h --client cursor")}
  $ ${ownCommand("run everything --for 5m --json")}`,
    )
    .action(async (type: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<RunOptions>();
      const { client } = await connect(options);
      const key = options.key === undefined ? undefined : await findKey(client, options.key);
      const created = await create(client, {
        type,
        expirationMinutes: options.for,
        ...(key === undefined ? {} : { apiKeyId: key.id }),
        ...(options.label === undefined ? {} : { label: options.label }),
        idempotencyKey: randomUUID(),
      });
      const instance = options.wait ? await waitOrRevoke(client, created.instance) : created.instance;
      if (options.json) printJson({ ...created, instance });
      else print(describe({ ...created, instance }, options.client));
    });
}

/** Creates it. Where the answer was lost, the same key leads to the same instance, with a new token. */
async function create(client: MiniMcpClient, input: CreateInput): Promise<CreatedInstance> {
  try {
    return await client.mcp.create.mutate(input);
  } catch (error) {
    if (!isReason(error, "client.network", "client.timeout")) throw error;
    return await client.mcp.create.mutate(input);
  }
}

async function waitOrRevoke(client: MiniMcpClient, { id }: InstanceView): Promise<InstanceView> {
  using progress = new ProgressLine(`instance ${id}: requested`);
  try {
    return await interruptible((signal) =>
      client.waitUntilReady(
        { id },
        { signal, onState: (state) => progress.update(`instance ${id}: ${state}`) },
      ),
    );
  } catch (error) {
    if (isReason(error, "client.instanceFailed", "client.instanceEnded")) throw error;
    // Its token was not shown, so it is of no use to anybody.
    await client.mcp.revoke.mutate({ id });
    if (!isReason(error, "client.aborted")) throw error;
    throw new Failure(`interrupted; the instance ${id} was revoked`, exitCode.interrupted);
  }
}

function describe(created: CreatedInstance, client: ClientName | undefined): string {
  const { instance, endpoint, accessToken, snippets } = created;
  const facts = formatFields([
    ["instance", instance.label === null ? instance.id : `${instance.id} (${instance.label})`],
    ["endpoint", endpoint],
    ["token", `${accessToken} (shown once)`],
    ["ends", formatDeadline(instance.expiresAt)],
    ["isolation", instance.isolation?.level ?? "not running yet"],
    ["end it", ownCommand(`instances revoke ${instance.id.slice(0, 8)}`)],
  ]);
  const { place, snippet } = clients[client ?? "claude"];
  const others = client === undefined ? "\n\nFor other clients: --client desktop, cursor or vscode." : "";
  return `${facts}\n\n${place}:\n\n${snippets[snippet]}${others}`;
}
