// What each level of isolation adds to the start of a child, over a bare spawn of the same server (P6). The levels take
// turns, so that whatever else the machine does meets them alike; absolute times say little, the ratios are the result.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rename, rm } from "node:fs/promises";
import { request } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { openPool } from "@minimcp/pool";

import { makeToolPath } from "../support/tool-path.ts";

const rounds = Number(process.argv[3] ?? 15);
const bundleDirectory = fileURLToPath(new URL("../fixtures/server", import.meta.url));

await using resources = new AsyncDisposableStack();
const directory = await mkdtemp(join(tmpdir(), "mb-"));
resources.defer(() => rm(directory, { recursive: true, force: true }));
await chmod(directory, 0o711);

/** Starts a child once. @returns milliseconds until it answered its first request */
type Start = (round: number) => Promise<number>;

const contenders = new Map<string, Start>([["spawn", startBare]]);
for (const without of [[], ["bwrap"], ["bwrap", "setpriv"]]) {
  const toolPath = await makeToolPath(directory, without);
  const pool = resources.use(
    await openPool({
      runtimeDirectory: join(directory, "rt"),
      nodeBinary: process.execPath,
      minimumLevel: "none",
      toolPath: [toolPath],
    }),
  );
  contenders.set(pool.isolation.level, async (round) => {
    const startedAt = performance.now();
    const child = await pool.start({ id: `round-${round}`, bundleDirectory, entry: "server.js" });
    const tookMs = performance.now() - startedAt;
    await child.stop();
    return tookMs;
  });
}

const times = new Map([...contenders.keys()].map((name): [string, number[]] => [name, []]));
// The first round warms the disk and is not counted.
for (let round = 0; round <= rounds; round++) {
  for (const [name, start] of contenders) {
    const tookMs = await start(round);
    if (round > 0) times.get(name)?.push(tookMs);
  }
}
const bareMs = median(times.get("spawn") ?? []);
for (const [name, taken] of times) {
  const tookMs = median(taken);
  process.stdout.write(
    `${name.padEnd(10)} ${(tookMs / bareMs).toFixed(2)} × spawn  median ${tookMs.toFixed(0)} ms, ${taken.length} rounds\n`,
  );
}

/** The least that any host could do: a listener, Node, the server. */
async function startBare(round: number): Promise<number> {
  const startedAt = performance.now();
  const path = join(directory, `${round}.sock`);
  const listener = createServer();
  await once(listener.listen(`${path}.new`), "listening");
  // Node removes the path that it bound when it closes the listener.
  await rename(`${path}.new`, path);
  const descriptor: unknown = Reflect.get(Object(Reflect.get(listener, "_handle")), "fd");
  if (typeof descriptor !== "number") throw new Error("this Node does not show the listener's descriptor");
  const child = spawn(process.execPath, [join(bundleDirectory, "server.js")], {
    env: {},
    stdio: ["pipe", "ignore", "ignore", descriptor],
  });
  try {
    await once(listener.close(), "close");
    await askHealth(path);
    return performance.now() - startedAt;
  } finally {
    child.kill("SIGKILL");
    await once(child, "exit");
  }
}

async function askHealth(socketPath: string): Promise<void> {
  const question = request({ socketPath, path: "/healthz", agent: false }).end();
  const [answer] = await once(question, "response");
  answer.resume();
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
