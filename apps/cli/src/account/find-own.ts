import type { ApiKeyView, InstanceView, MiniMcpClient } from "@minimcp/client";

import { exitCode } from "../exit-code.ts";
import { Failure } from "../failure.ts";
import { ownCommand } from "../own-command.ts";

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const pageSize = 200;

/** @throws Failure when no key has this label or an id that begins so, or several do */
export async function findKey(client: MiniMcpClient, labelOrId: string): Promise<ApiKeyView> {
  const { items } = await client.apiKey.list.query();
  const labelled = items.find((key) => key.label === labelOrId);
  return labelled ?? pickById(items, labelOrId, "key", ownCommand("keys ls"));
}

/** @throws Failure when no instance has an id that begins so, or several do */
export async function findInstanceId(client: MiniMcpClient, prefix: string): Promise<string> {
  if (uuid.test(prefix)) return prefix;
  return pickById(
    await listInstances(client, { live: false }),
    prefix,
    "instance",
    ownCommand("instances ls --all"),
  ).id;
}

/** Every instance, newest first, however many pages they fill. */
export async function listInstances(
  client: MiniMcpClient,
  { live }: { live: boolean },
): Promise<InstanceView[]> {
  const found: InstanceView[] = [];
  let cursor: string | null = null;
  do {
    const page: { items: InstanceView[]; nextCursor: string | null } = await client.mcp.list.query({
      live,
      limit: pageSize,
      ...(cursor === null ? {} : { cursor }),
    });
    found.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return found;
}

function pickById<T extends { id: string }>(
  items: readonly T[],
  prefix: string,
  what: string,
  listing: string,
): T {
  const matches = items.filter((item) => item.id.startsWith(prefix.toLowerCase()));
  const [match] = matches;
  if (match === undefined) throw new Failure(`You have no ${what} "${prefix}". See: ${listing}`);
  if (matches.length > 1) {
    throw new Failure(
      `Several of your ${what}s begin with "${prefix}": ${matches.map((item) => item.id).join(", ")}. Give more of the id.`,
      exitCode.usage,
    );
  }
  return match;
}
