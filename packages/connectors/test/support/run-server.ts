import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, readdir, rename, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import type { Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { bundles } from "../../src/index.ts";

export interface RunningServer extends AsyncDisposable {
  process: ChildProcess;
  /** All lines of standard error so far. */
  log: string[];
  /** The MCP endpoint, through a loopback port, since clients do not know Unix sockets. */
  url: URL;
  /** Fulfilled with the exit code, or null after a signal. */
  exited: Promise<number | null>;
}

export interface RunOptions {
  /** The stdio server that the adapter runs, instead of the one that the bundle names. */
  script?: string;
  /** The directory of the bundle. Default: that of `server-everything`. */
  directory?: string;
  /** Arguments of that server. */
  args?: readonly string[];
  /** Added to what every child has in its environment. */
  env?: Readonly<Record<string, string>>;
  /** Changes how the program is started: given Node and its arguments, the command line to use instead. */
  wrap?: (commandLine: readonly [string, ...string[]], directory: string) => readonly [string, ...string[]];
}

/** Starts the built bundle as the worker does: listening socket on 3, standard input as the rope to its owner. */
export async function runServer(options: RunOptions = {}): Promise<RunningServer> {
  const bundle = { ...bundles.everything, ...(options.directory && { directory: options.directory }) };
  const directory = await mkdtemp(join(tmpdir(), "mcp-"));
  const socketPath = join(directory, "s");
  // Closing the listener here unlinks the name it was bound under, not the one that clients connect to.
  const listener = createServer();
  listener.listen(join(directory, "bound"));
  await once(listener, "listening");
  await rename(join(directory, "bound"), socketPath);

  const serverArguments =
    options.script === undefined ? bundle.args : [options.script, ...(options.args ?? [])];
  const plain = [process.execPath, bundle.entry, ...serverArguments] as const;
  const [command, ...args] = options.wrap?.(plain, bundle.directory) ?? plain;
  const child = spawn(command, args, {
    cwd: bundle.directory,
    env: { NODE_ENV: "production", MCP_ID: "test", ...options.env },
    stdio: ["pipe", "ignore", "pipe", descriptorOf(listener)],
  });
  listener.close();
  const log: string[] = [];
  if (child.stderr === null) throw new Error("standard error is not a pipe");
  createInterface({ input: child.stderr }).on("line", (line) => log.push(line));
  const exited = new Promise<number | null>((resolve) => child.once("close", (code) => resolve(code)));
  const proxy = createServer((client) => {
    const server = connect(socketPath);
    client.on("close", () => server.destroy()).on("error", () => {});
    server.on("close", () => client.destroy()).on("error", () => {});
    client.pipe(server).pipe(client);
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const address = proxy.address();
  if (address === null || typeof address === "string") throw new Error("the proxy has no port");

  return {
    process: child,
    log,
    exited,
    url: new URL(`http://127.0.0.1:${address.port}/mcp`),
    async [Symbol.asyncDispose]() {
      // Not SIGKILL, which would leave the wrapped server behind: this way the program ends it first.
      child.stdin?.end();
      await exited;
      proxy.close();
      await rm(directory, { recursive: true });
    },
  };
}

/** Node hands only streams over by themselves; a listener's descriptor is not public. */
function descriptorOf(listener: Server): number {
  const handle: { fd: number } = Reflect.get(listener, "_handle");
  return handle.fd;
}

/** Process ids of all living descendants of a process. */
export async function listDescendants(ancestor: number): Promise<number[]> {
  const children = new Map<number, number[]>();
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = await readFile(`/proc/${entry}/stat`, "utf8").catch(() => "");
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (parent === undefined || state === "Z") continue;
    children.set(Number(parent), [...(children.get(Number(parent)) ?? []), Number(entry)]);
  }
  const found = [...(children.get(ancestor) ?? [])];
  for (const pid of found) found.push(...(children.get(pid) ?? []));
  return found;
}

/** Whether a process lives; a zombie that nobody reaped yet does not. */
export async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return stat !== "" && stat.slice(stat.lastIndexOf(")") + 2)[0] !== "Z";
}
