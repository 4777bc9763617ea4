import { copyFile, chmod, chown, cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { constants } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

// @boundaries-ignore What the tests of all rooms share belongs to no room.
import { makeToolPath } from "../../../../test/support/tool-path.ts";
import type { IsolationLevel, PoolOptions } from "../../src/index.ts";
import { findTools } from "../../src/tools.ts";

export const isRoot = process.geteuid?.() === 0;
const hasBubblewrap = process.platform === "linux" && findTools().bwrap !== undefined;

/** The levels that this host gives to this process, each with what has to be taken away to come down to it. */
export const reachableLevels: { level: IsolationLevel; without: readonly string[] }[] = [
  ...(hasBubblewrap ? [{ level: isRoot ? ("strict" as const) : ("contained" as const), without: [] }] : []),
  ...(isRoot && process.platform === "linux" ? [{ level: "hardened" as const, without: ["bwrap"] }] : []),
  { level: "none", without: ["bwrap", "setpriv"] },
];

export const bestLevel = reachableLevels[0]?.level ?? "none";
export const hasNamespaces = hasBubblewrap;

export const fixtureServer = fileURLToPath(new URL("../fixtures/server", import.meta.url));

/** A directory with a short path that slot uids can pass through, removed when disposed. */
export interface TestDirectory extends AsyncDisposable {
  readonly path: string;
  /** Options for a pool that lives in here. */
  options(without?: readonly string[]): Promise<PoolOptions>;
}

export async function makeTestDirectory(): Promise<TestDirectory> {
  const path = await mkdtemp(join(tmpdir(), "mp-"));
  await chmod(path, 0o711);
  return {
    path,
    options: async (without = []) => ({
      runtimeDirectory: join(path, "rt"),
      nodeBinary: process.execPath,
      minimumLevel: "none",
      ...(without.length > 0 ? { toolPath: [await makeToolPath(path, without)] } : {}),
    }),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

/** What an ordinary user needs to run a pool, in a place where that user can read it. */
export async function copyForUser(
  path: string,
  uid: number,
): Promise<{ nodeBinary: string; bundle: string; runtimeDirectory: string }> {
  const nodeBinary = join(path, "node");
  await copyFile(process.execPath, nodeBinary, constants.COPYFILE_FICLONE);
  await chmod(nodeBinary, 0o755);
  const bundle = join(path, "bundle");
  await cp(fixtureServer, bundle, { recursive: true });
  const home = join(path, "u");
  await mkdir(home);
  await chown(home, uid, uid);
  return { nodeBinary, bundle, runtimeDirectory: join(home, "rt") };
}

/**
 * Has the fixture server run the body of an async function with `fs, net, spawn, spawnSync, tryConnect` in scope.
 *
 * @throws when the function threw, or the connection broke.
 */
export async function runInside<Result>(socketPath: string, body: string): Promise<Result> {
  return await ask(socketPath, "/run", body);
}

/**
 * The same in a process of its own that Node's permission model does not hold, without `tryConnect`: what it cannot do, the
 * sandbox itself forbids.
 */
export async function runFreelyInside<Result>(socketPath: string, body: string): Promise<Result> {
  return await ask(socketPath, "/run-freely", body);
}

async function ask<Result>(socketPath: string, path: string, body: string): Promise<Result> {
  return new Promise((resolve, reject) => {
    const question = request(
      { socketPath, path, method: "POST", agent: false, timeout: 20_000 },
      (answer) => {
        let text = "";
        answer.on("data", (chunk: Buffer) => (text += chunk.toString()));
        answer.on("error", reject);
        answer.on("end", () => {
          const parsed: { result: Result; error?: string } = JSON.parse(text);
          if (parsed.error === undefined) resolve(parsed.result);
          else reject(new Error(parsed.error));
        });
      },
    );
    question.on("timeout", () => question.destroy(new Error("no answer from inside")));
    question.on("error", reject);
    question.end(body);
  });
}
