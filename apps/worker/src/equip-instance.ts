import type { ClaimedInstance } from "@minimcp/core";
import type { ChildSpec } from "@minimcp/pool";

import { claimPort } from "./claim-port.ts";
import { NotRunnable } from "./not-runnable.ts";
import { type EgressEvents, type EgressOptions, openEgress } from "./open-egress.ts";

/** The self-contained directory of a server, as it goes into the sandbox. */
export interface ServerBundle {
  directory: string;
  entry: string;
  nodeArgs?: readonly string[];
  args: readonly string[];
}

export interface EquipmentOptions extends EgressOptions {
  /** The servers this node can run, by the name that declarations use. */
  findBundle(name: string): ServerBundle | undefined;
}

/** In a network of its own, a server has every port to itself. */
const privatePort = 3000;

/**
 * Gets together what an instance runs with.
 * @param resources what ends with the claim
 * @throws NotRunnable when it cannot run here
 */
export async function equipInstance(
  options: EquipmentOptions,
  { instanceId, fence, declaration, config }: ClaimedInstance,
  resources: AsyncDisposableStack,
  events: EgressEvents,
): Promise<Omit<ChildSpec, "id">> {
  if (declaration === null) {
    throw new NotRunnable(
      "The catalogue's entry for this type cannot be read. An administrator can correct it.",
    );
  }
  const bundle = options.findBundle(declaration.bundle);
  if (bundle === undefined) throw new NotRunnable("The node does not have the server of this type.");
  const chosen = Object.entries(declaration.config).flatMap(([key, { argument }]) =>
    Object.hasOwn(config, key) ? [`${argument}=${config[key]}`] : [],
  );
  const { memoryMiB, cpuCores } = declaration.limits;
  const env: Record<string, string> = { ...declaration.env };
  // The adapter bounds the heap of a server under Node by it.
  if (memoryMiB !== undefined) env["MCP_MEMORY_MIB"] = String(memoryMiB);
  if (declaration.runtime === "other") env["MCP_RUNTIME"] = "other";
  if (declaration.listens === "tcp") {
    const port = options.pool.isolation.parts.namespaces
      ? privatePort
      : await claimPort(options.db, options.identity, { instanceId, fence });
    env["PORT"] = String(port);
  }
  const spec = {
    bundleDirectory: bundle.directory,
    entry: bundle.entry,
    nodeArgs: bundle.nodeArgs ?? [],
    args: [...bundle.args, ...chosen],
    limits: {
      ...(memoryMiB !== undefined && { memoryBytes: memoryMiB * 2 ** 20 }),
      ...(cpuCores !== undefined && { cpuCores }),
    },
  };
  // Without a rule there is no way out, and no broker that could be one.
  if (declaration.egress.length === 0) return { ...spec, env };
  const egress = await openEgress(options, { instanceId, fence }, declaration, resources, events);
  return { ...spec, ...egress, env: { ...env, ...egress.env } };
}
