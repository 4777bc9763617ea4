import { join, resolve } from "node:path";
import process from "node:process";

import type { SandboxEnvironment } from "../env.ts";
import type { Forwarder } from "../egress/forwarder.ts";
import { type Egress, nodeEgressEnvironment, proxyEgressEnvironment } from "../egress/server-environment.ts";
import type { Launch } from "./server-process.ts";

export interface Settings {
  /** A script for Node, or a program; a relative path starts in the bundle. */
  command: string;
  args: readonly string[];
  runtime: "node" | "other";
  /** What all processes of the sandbox may take together, MiB. */
  memoryMib: number;
  /** Where the server listens on loopback; null for a stdio server. */
  port: number | null;
  /** Null for a server that calls nobody. */
  egress: Egress | null;
  /** NODE_OPTIONS of every Node process of the sandbox. */
  nodeOptions: string | undefined;
  /** What the server's type declares for its environment. */
  declared: Readonly<Record<string, string>>;
}

/** @throws Error what is missing or wrong, for the log of the instance */
export function readSettings(argv: readonly string[], environment: SandboxEnvironment): Settings {
  const [command, ...args] = argv;
  if (command === undefined) throw new Error("Usage: server.js <script or program> [argument…]");
  const { egressSocket, caFile, runtime, nodeOptions, declared } = environment;
  const memoryMib = Number(environment.memoryMib ?? 512);
  if (!(memoryMib > 0)) throw new Error("MCP_MEMORY_MIB is a number of MiB");
  if (runtime !== "node" && runtime !== "other") {
    throw new Error(`MCP_RUNTIME is "node" or "other", not ${JSON.stringify(runtime)}`);
  }
  if ((egressSocket === undefined) !== (caFile === undefined)) {
    throw new Error("MCP_EGRESS_SOCKET and MCP_EGRESS_CA_FILE come together: set both or neither");
  }
  const port = environment.port === undefined ? null : Number(environment.port);
  if (port !== null && !(Number.isInteger(port) && port > 0 && port < 65_536)) {
    throw new Error("PORT is a number from 1 to 65535");
  }
  const egress =
    egressSocket === undefined || caFile === undefined ? null : { socketPath: egressSocket, caFile };
  return { command, args, runtime, memoryMib, port, egress, nodeOptions, declared };
}

/**
 * Heap of a wrapped server, as a part of the instance's memory. Without a bound V8 sizes it by the host's memory, and
 * garbage alone would reach the instance's limit; with it, a server that needs more says so in its log when it ends.
 */
const serverHeapShare = 0.5;

/**
 * @param bundle the directory of this program, its preload and the server
 * @param forwarder for a program that is not Node's; null where there is no egress
 */
export function planLaunch(settings: Settings, bundle: string, forwarder: Forwarder | null): Launch {
  const { command, args, runtime, memoryMib, port, egress, nodeOptions, declared } = settings;
  // After what the type declares: a declaration cannot lead round the broker by mistake.
  const env = {
    ...declared,
    ...(nodeOptions !== undefined && { NODE_OPTIONS: nodeOptions }),
    ...(port !== null && { PORT: String(port) }),
    ...(egress &&
      runtime === "node" &&
      nodeEgressEnvironment(egress, join(bundle, "preload.cjs"), nodeOptions)),
    ...(egress && forwarder && proxyEgressEnvironment(egress, forwarder)),
  };
  if (runtime === "node") {
    const script = resolve(bundle, command);
    return {
      command: process.execPath,
      args: [`--max-old-space-size=${Math.floor(memoryMib * serverHeapShare)}`, script, ...args],
      env,
    };
  }
  return { command: command.includes("/") ? resolve(bundle, command) : command, args, env };
}
