// What a fork bomb in one instance costs the others (RES-2): how long the API's list of instances and a tool call of another
// instance take beside it, over the same a moment before, in turns. API, worker and caller share this process; the bomb
// and the other instance do not.
import { setTimeout as delay } from "node:timers/promises";

import { createAdmin } from "../support/accounts.ts";
import { query } from "../support/call.ts";
import { addType, callTool, createInstance, echo, findBundle, type Instance } from "../support/instances.ts";
import { startProduct } from "../support/product.ts";
import { startTestCluster } from "../support/test-cluster.ts";

const rounds = Number(process.argv[3] ?? 4);
const roundMs = 5_000;
/** So that what is measured is an answer, and not a queue of the caller's own making. */
const pauseMs = 40;

await using running = await startTestCluster();
await using product = await startProduct({ findBundle, cluster: running.cluster });
const owner = await createAdmin(product);
await addType(product, "hostile", { bundle: "hostile" });
const neighbour = await createInstance(product, owner);

const calls = {
  "mcp.list": async () => void (await query(product.api.url, "mcp.list", {}, { token: owner.token })),
  "tools/call": () => echo(neighbour),
};
type Times = Record<keyof typeof calls, number[]>;

await measure();
const alone: Times = { "mcp.list": [], "tools/call": [] };
const beside: Times = { "mcp.list": [], "tools/call": [] };
let bombs = 0;
for (let round = 0; round < rounds; round++) {
  addTo(alone, await measure());
  const over = new AbortController();
  const bombing = keepBombing(over.signal);
  addTo(beside, await measure());
  over.abort();
  bombs += await bombing;
}
process.stdout.write(`${level()}, ${rounds} rounds of ${roundMs / 1_000} s each way, ${bombs} bombs\n`);
for (const name of ["mcp.list", "tools/call"] as const) {
  const [before, during] = [p95(alone[name]), p95(beside[name])];
  process.stdout.write(
    `${name.padEnd(10)} p95 ${before.toFixed(1)} ms alone, ${during.toFixed(1)} ms beside a fork bomb: ${(during / before).toFixed(2)} ×\n`,
  );
}

async function keepBombing(signal: AbortSignal): Promise<number> {
  let count = 0;
  let bomber: Instance | undefined;
  while (!signal.aborted) {
    bomber ??= await createInstance(product, owner, { type: "hostile" });
    const answer = await callTool(bomber, "forkBomb");
    // Some end their own server; the next one needs another.
    if (answer.status === 200 && (await answer.text()).includes("EAGAIN")) count += 1;
    else bomber = undefined;
  }
  return count;
}

async function measure(): Promise<Times> {
  const times: Times = { "mcp.list": [], "tools/call": [] };
  const endsAt = performance.now() + roundMs;
  while (performance.now() < endsAt) {
    for (const name of ["mcp.list", "tools/call"] as const) {
      const startedAt = performance.now();
      await calls[name]();
      times[name].push(performance.now() - startedAt);
    }
    await delay(pauseMs);
  }
  return times;
}

function addTo(all: Times, more: Times): void {
  for (const name of ["mcp.list", "tools/call"] as const) all[name].push(...more[name]);
}

function p95(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * 0.95)] ?? Number.NaN;
}

function level(): string {
  return product.worker?.isolation.level ?? "none";
}
