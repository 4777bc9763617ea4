import { setTimeout as delay } from "node:timers/promises";

import { addType, processesOf } from "../../support/instances.ts";
import { findBroken, findMisserved } from "./invariants.ts";
import { keyedType, Ledger } from "./ledger.ts";
import { describeDisturbances, type Disturbance, planRounds, type Round, roundMs } from "./plan.ts";
import { World } from "./world.ts";

export interface ChaosOptions {
  /** The plan of a run: the same seed disturbs the same parts at the same moments. */
  seed: number;
  /** Whether there is another round. */
  goesOn: (round: number) => boolean;
  /** A line of progress. */
  report: (line: string) => void;
}

export interface ChaosSummary {
  rounds: number;
  instances: number;
  calls: number;
  kills: number;
  pauses: number;
  jumps: number;
}

/** Within so long after everything runs again all must agree; a crashed child is given time to back off. */
const settleTimeoutMs = 60_000;
const settlePauseMs = 250;
const probePauseMs = 50;

/**
 * Runs the product, lets owners and clients do as they like while parts of it are killed and stopped, and looks after
 * each round whether everything agrees.
 * @throws with what does not, the seed and the round
 */
export async function runRounds({ seed, goesOn, report }: ChaosOptions): Promise<ChaosSummary> {
  await using world = await World.open();
  const ledger = await Ledger.open(world);
  await addType({ database: world.database.urls }, keyedType, {
    bundle: "everything",
    provider: "github",
  });
  const summary = { rounds: 0, instances: 0, calls: 0, kills: 0, pauses: 0, jumps: 0 };
  for (const round of planRounds(seed)) {
    if (!goesOn(round.number)) break;
    await ledger.prepare();
    const startedAt = performance.now();
    await runRound(world, ledger, round);
    await settle(world, ledger, round, seed);
    summary.rounds = round.number;
    for (const { kind } of round.disturbances) summary[`${kind}s`] += 1;
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
    report(
      `round ${round.number}: ${seconds} s, ${ledger.instances.length} instances so far; ${describeDisturbances(round)}`,
    );
  }
  summary.instances = ledger.instances.length;
  summary.calls = ledger.instances.reduce((sum, { answered }) => sum + answered, 0);
  return summary;
}

async function runRound(world: World, ledger: Ledger, round: Round): Promise<void> {
  const startedAt = performance.now();
  const at = async (ms: number): Promise<void> =>
    await delay(Math.max(0, startedAt + ms - performance.now()));
  const probing = probe(ledger, startedAt + roundMs);
  await Promise.all([
    ...round.steps.map(async (step) => {
      await at(step.atMs);
      await ledger.act(step);
    }),
    ...round.disturbances.map(async (disturbance) => {
      await at(disturbance.atMs);
      await disturb(world, ledger, disturbance);
    }),
    probing,
  ]);
}

/** Calls what is over, all the while. */
async function probe(ledger: Ledger, until: number): Promise<void> {
  for (let pick = 0; performance.now() < until; pick += 1) {
    await ledger.probeOver(pick);
    await delay(probePauseMs);
  }
}

async function disturb(world: World, ledger: Ledger, disturbance: Disturbance): Promise<void> {
  const { kind, victim, downMs, pick, jumpSeconds } = disturbance;
  if (victim === "child") {
    const instance = ledger.pickLive(pick);
    if (instance === undefined) return;
    const pids = await processesOf(instance.id);
    const pid = pids[pick % pids.length];
    if (pid === undefined) return;
    instance.childKills += 1;
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended between the look and the kill.
    }
    return;
  }
  await world[kind](victim, jumpSeconds);
  await delay(downMs);
  await world.repair(victim);
}

/** Calls are over before calls are counted. */
async function settle(world: World, ledger: Ledger, round: Round, seed: number): Promise<void> {
  await world.repairAll();
  const giveUpAt = performance.now() + settleTimeoutMs;
  for (const find of [findMisserved, findBroken]) {
    for (;;) {
      await ledger.settle();
      const broken = await find(world, ledger);
      if (broken.length === 0) break;
      if (performance.now() > giveUpAt) {
        const disturbed = describeDisturbances(round);
        throw new Error(`Round ${round.number} of seed ${seed} (${disturbed}) left:\n${broken.join("\n")}`);
      }
      await delay(settlePauseMs);
    }
  }
}
