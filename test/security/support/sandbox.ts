import { spawn } from "node:child_process";
import { constants } from "node:fs";
import { chmod, chown, copyFile, cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

import type { ChildSpec, Exit, Isolation, IsolationLevel } from "@minimcp/pool";

import type { WorkerCommand, WorkerOrder } from "../../fixtures/sandbox-worker.ts";
import { makeToolPath } from "../../support/tool-path.ts";

const isRoot = process.geteuid?.() === 0;
const ordinaryUid = 65_534;

/** A level, with who has to run the worker and what the host must lack for it to be reached. */
export interface Situation {
  readonly level: IsolationLevel;
  readonly uid?: number;
  readonly without: readonly string[];
}

/** Every level that this host offers. As root, the test becomes an ordinary user for those of an ordinary user. */
export const situations: readonly Situation[] = isRoot
  ? [
      { level: "strict", without: [] },
      { level: "contained", uid: ordinaryUid, without: [] },
      { level: "hardened", without: ["bwrap"] },
      { level: "none", uid: ordinaryUid, without: ["bwrap", "setpriv"] },
    ]
  : [
      { level: "contained", without: [] },
      { level: "none", without: ["bwrap", "setpriv"] },
    ];

export interface StartedChild {
  readonly id: string;
  readonly pid: number;
  readonly uid: number | undefined;
  readonly socketPath: string;
}

export interface EndedChild {
  readonly exit: Exit;
  readonly output: readonly string[];
  readonly droppedBytes: number;
}

/** A worker process with a pool of its own, whose children are hostile. */
export interface SandboxWorker extends AsyncDisposable {
  readonly pid: number;
  readonly uid: number | undefined;
  readonly isolation: Isolation;
  /** A directory of the worker that nobody else may look into. */
  readonly home: string;
  readonly bundleDirectory: string;
  readonly poolDirectory: string;
  start(spec: Omit<ChildSpec, "bundleDirectory" | "entry">): Promise<StartedChild>;
  stop(id: string): void;
  ended(id: string): Promise<EndedChild>;
  throttled(id: string): Promise<void>;
}

/** A worker that does not end when it is told to must not hold up the tests behind it. */
const endTimeoutMs = 20_000;
const script = fileURLToPath(new URL("../../fixtures/sandbox-worker.ts", import.meta.url));
const hostileServer = fileURLToPath(new URL("../../fixtures/hostile", import.meta.url));

/** What the worker says of an event; its fields are the event's. */
type Message = ReturnType<typeof JSON.parse>;

/** @param environment what the worker itself knows and no child may learn */
export async function startSandboxWorker(
  { uid, without }: Situation,
  {
    environment = {},
    limits = {},
  }: { environment?: Record<string, string>; limits?: WorkerOrder["options"]["limits"] & object } = {},
): Promise<SandboxWorker> {
  await using resources = new AsyncDisposableStack();
  const path = await mkdtemp(join(tmpdir(), "mh-"));
  resources.defer(() => rm(path, { recursive: true, force: true }));
  await chmod(path, 0o711);
  // An ordinary user need not be able to read the clone that this runs from.
  const bundleDirectory = join(path, "hostile");
  await cp(hostileServer, bundleDirectory, { recursive: true });
  const nodeBinary = join(path, "node");
  await copyFile(process.execPath, nodeBinary, constants.COPYFILE_FICLONE);
  await chmod(nodeBinary, 0o755);
  const home = join(path, "home");
  await mkdir(home, { mode: 0o700 });
  const parent = join(path, "u");
  await mkdir(parent);
  for (const directory of [home, parent]) if (uid !== undefined) await chown(directory, uid, uid);

  const order: WorkerOrder = {
    ...(uid === undefined ? {} : { uid }),
    options: {
      runtimeDirectory: join(parent, "rt"),
      nodeBinary,
      minimumLevel: "none",
      limits,
      ...(without.length > 0 ? { toolPath: [await makeToolPath(path, without)] } : {}),
    },
  };
  const worker = spawn(process.execPath, [script, JSON.stringify(order)], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { PATH: "/usr/bin", ...environment },
  });
  const exited = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
  const complaint = text(worker.stderr);
  resources.defer(async () => {
    worker.stdin.end();
    const late = setTimeout(() => worker.kill("SIGKILL"), endTimeoutMs);
    await exited;
    clearTimeout(late);
  });

  let death: Error | undefined;
  const events = new Map<string, PromiseWithResolvers<Message>>();
  const event = (name: string): PromiseWithResolvers<Message> => {
    const known = events.get(name) ?? Promise.withResolvers();
    // Not every event is waited for.
    known.promise.catch(() => {});
    if (death) known.reject(death);
    events.set(name, known);
    return known;
  };
  createInterface({ input: worker.stdout }).on("line", (line) => {
    const { kind, id = "", ...rest } = JSON.parse(line);
    if (kind === "failed") event(`started ${id}`).reject(Object.assign(new Error(rest.reason), rest));
    else event(`${kind} ${id}`).resolve({ id, ...rest });
  });
  void exited.then(async () => {
    death = new Error(`the worker ended: ${await complaint}`);
    for (const { reject } of events.values()) reject(death);
  });
  const { isolation, directory } = await event("opened ").promise;
  const send = (command: WorkerCommand): void => void worker.stdin.write(`${JSON.stringify(command)}\n`);
  const owned = resources.move();
  return {
    pid: worker.pid ?? 0,
    uid,
    isolation,
    home,
    bundleDirectory,
    poolDirectory: directory,
    start: async (spec) => {
      send({ start: { bundleDirectory, entry: "server.js", readyTimeoutMs: 30_000, ...spec } });
      return await event(`started ${spec.id}`).promise;
    },
    stop: (id) => send({ stop: id }),
    ended: async (id) => await event(`ended ${id}`).promise,
    throttled: async (id) => await event(`throttled ${id}`).promise,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Calls an attack. @returns what it brought. @throws when the connection breaks, as it does when the attacker dies */
export async function attack<Loot>(
  { socketPath }: StartedChild,
  name: string,
  args: object = {},
): Promise<Loot> {
  const params = { name, arguments: args };
  const answer = await new Promise<string>((resolve, reject) => {
    const question = request(
      { socketPath, path: "/mcp", method: "POST", agent: false, timeout: 60_000 },
      (response) => void text(response).then(resolve, reject),
    );
    question.on("timeout", () => question.destroy(new Error(`no answer to ${name}`)));
    question.on("error", reject);
    question.end(JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params }));
  });
  const { result } = JSON.parse(answer);
  if (result.isError) throw new Error(`the attack ${name} could not be tried: ${answer}`);
  return JSON.parse(result.content[0].text);
}
