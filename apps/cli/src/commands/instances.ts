import type { HostUse, InstanceView, LogLineView, ReceiptView } from "@minimcp/client";
import type { Command } from "commander";

import { connect, type ServerOptions } from "../account/connect.ts";
import { findInstanceId, listInstances } from "../account/find-own.ts";
import { formatBytes } from "../format-bytes.ts";
import { formatClock, formatDeadline, formatDuration, formatRelative } from "../format-time.ts";
import { ownCommand } from "../own-command.ts";
import { parseMinutes } from "../parse-option.ts";
import { formatFields, formatTable } from "../table.ts";
import { note, paint, print, printJson, printJsonLine } from "../terminal.ts";
import { addServerCommand } from "./server-command.ts";

interface ListOptions extends ServerOptions {
  all?: boolean;
}

interface RenewOptions extends ServerOptions {
  for: number;
}

interface LogOptions extends ServerOptions {
  follow?: boolean;
}

export function addInstances(program: Command): void {
  const instances = program
    .command("instances")
    .description("your instances")
    .addHelpText("after", "\nInstead of an id, its beginning is enough where that is clear.");

  addServerCommand(instances, "ls")
    .description("list your instances, newest first")
    .option("--all", "also those that are over")
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<ListOptions>();
      const { client } = await connect(options);
      const items = await listInstances(client, { live: options.all !== true });
      if (options.json) printJson({ items });
      else if (items.length === 0)
        print(`no instances; create one with: ${ownCommand("run everything --for 60m")}`);
      else print(formatInstances(items));
    });

  addServerCommand(instances, "show <id>")
    .description("tell everything about one instance")
    .action(async (prefix: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<ServerOptions>();
      const { client } = await connect(options);
      const instance = await client.mcp.get.query({ id: await findInstanceId(client, prefix) });
      if (options.json) printJson(instance);
      else print(formatInstance(instance));
    });

  addServerCommand(instances, "watch [id]")
    .description(
      "tell what becomes of your live instances, or of one until it is over; --json: one line a change",
    )
    .action(async (prefix: string | undefined, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<ServerOptions>();
      const { client } = await connect(options);
      if (prefix === undefined) {
        for await (const items of client.watchAll()) {
          if (options.json) printJsonLine({ items });
          else print(items.length === 0 ? "no live instances\n" : `${formatInstances(items)}\n`);
        }
        return;
      }
      for await (const instance of client.watch({ id: await findInstanceId(client, prefix) })) {
        if (options.json) printJsonLine(instance);
        else print(formatChange(instance));
      }
    });

  addServerCommand(instances, "logs <id>")
    .description("print what an instance's server wrote, without secrets; --json: one line a line")
    .option("-f, --follow", "go on until the instance is over")
    .action(async (prefix: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<LogOptions>();
      const { client } = await connect(options);
      const id = await findInstanceId(client, prefix);
      let isEmpty = true;
      for await (const line of client.logs({ id }, { follow: options.follow === true })) {
        isEmpty = false;
        if (options.json) printJsonLine(line);
        else print(formatLogLine(line));
      }
      if (isEmpty) note("its server has written nothing");
    });

  addServerCommand(instances, "renew <id>")
    .description("let an instance live longer; its address and its token stay")
    .requiredOption("--for <time>", "how long from now: 30m, 90, 2h", parseMinutes)
    .action(async (prefix: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<RenewOptions>();
      const { client } = await connect(options);
      const renewed = await client.mcp.renew.mutate({
        id: await findInstanceId(client, prefix),
        minutes: options.for,
      });
      if (options.json) printJson(renewed);
      else print(formatInstance(renewed));
    });

  addServerCommand(instances, "revoke <id>")
    .description("end an instance now: process, connections and token")
    .action(async (prefix: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<ServerOptions>();
      const { client } = await connect(options);
      const receipt = await client.mcp.revoke.mutate({ id: await findInstanceId(client, prefix) });
      if (options.json) printJson(receipt);
      else print(formatReceipt(receipt));
    });

  addServerCommand(instances, "receipt <id>")
    .description("tell what an instance was allowed, and what it did")
    .action(async (prefix: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<ServerOptions>();
      const { client } = await connect(options);
      const receipt = await client.mcp.receipt.query({ id: await findInstanceId(client, prefix) });
      if (options.json) printJson(receipt);
      else print(formatReceipt(receipt));
    });
}

function formatInstances(items: readonly InstanceView[]): string {
  return formatTable(
    ["ID", "TYPE", "LABEL", "STATE", "ENDS", "ISOLATION", "CALLS"],
    items.map((instance) => [
      instance.id.slice(0, 8),
      instance.type,
      instance.label ?? "",
      describeState(instance),
      formatRelative(instance.endedAt ?? instance.expiresAt),
      instance.isolation?.level ?? "",
      String(instance.calls),
    ]),
  );
}

/** One line of what has become of an instance. */
function formatChange(instance: InstanceView): string {
  const end = formatRelative(instance.endedAt ?? instance.expiresAt);
  const ends = instance.endedAt === null ? `ends ${end}` : `ended ${end}`;
  return [formatClock(new Date()), describeState(instance), ends, `${instance.calls} calls`].join("  ");
}

function formatLogLine({ at, text, droppedBytes }: LogLineView): string {
  const gap = `${paint("dim", `… ${formatBytes(droppedBytes)} not kept`)}\n`;
  return `${droppedBytes > 0 ? gap : ""}${paint("dim", formatClock(at))}  ${text}`;
}

function formatInstance(instance: InstanceView): string {
  return formatFields([
    ["instance", instance.id],
    ["type", instance.type],
    ...(instance.label === null ? [] : [["label", instance.label] as const]),
    ["state", describeState(instance)],
    ["endpoint", instance.endpoint],
    ["created", formatRelative(instance.createdAt)],
    instance.endedAt === null
      ? ["ends", formatDeadline(instance.expiresAt)]
      : ["ended", formatRelative(instance.endedAt)],
    ...(instance.renewalsLeft === 0 ? [] : [["renewable", formatRenewals(instance)] as const]),
    ["isolation", instance.isolation?.level ?? "not known before it runs"],
    ["key", instance.apiKeyId ?? "none"],
    ["calls", String(instance.calls)],
  ]);
}

function formatRenewals({ renewalsLeft, latestExpiresAt }: InstanceView): string {
  const times = renewalsLeft === 1 ? "once more" : `${renewalsLeft} more times`;
  return `${times}, to end ${formatDeadline(latestExpiresAt)} at the latest`;
}

function formatReceipt(receipt: ReceiptView): string {
  const { granted, used } = receipt;
  const ran =
    receipt.readyAt === null
      ? "never ran"
      : formatDuration((receipt.endedAt ?? new Date()).getTime() - receipt.readyAt.getTime());
  const counts = receipt.final ? "" : ", still counting";
  return formatFields([
    ["instance", `${receipt.instanceId} (${receipt.type})`],
    ["state", describeState(receipt)],
    ["ran", ran],
    ["isolation", receipt.isolation?.level ?? "never ran"],
    ["tools used", used.tools.map(({ name, calls }) => `${name} ${calls} ×`).join(", ") || "none"],
    ["tools allowed", granted.tools.join(", ")],
    ["hosts allowed", granted.hosts.join(", ") || "none"],
    ["hosts reached", used.hosts.map(formatHost).join(", ") || "none"],
    ["calls", `${receipt.calls}, refused ${receipt.denials}, unanswered ${receipt.failures}${counts}`],
    ["bytes", `${formatBytes(receipt.requestBytes)} in, ${formatBytes(receipt.responseBytes)} out`],
    ...(receipt.incomplete
      ? [["incomplete", "its worker died meanwhile; up to a second of counts may be missing"] as const]
      : []),
  ]);
}

function formatHost({ host, requests, denied, bytesOut, bytesIn }: HostUse): string {
  const refused = denied === 0 ? "" : `, refused ${denied} ×`;
  return `${host} ${requests} ×${refused} (${formatBytes(bytesOut)} out, ${formatBytes(bytesIn)} in)`;
}

function describeState({ state, endReason }: Pick<InstanceView, "state" | "endReason">): string {
  return endReason === null ? state : `${state} (${endReason})`;
}
