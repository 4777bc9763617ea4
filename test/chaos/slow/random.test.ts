import { randomInt } from "node:crypto";

import { expect, test } from "vitest";

import { runRounds } from "../random/run-rounds.ts";

/*
 * The API, the workers, PostgreSQL and the children die or stand still at random moments, while owners and clients go on.
 * `pnpm chaos` does this for an hour, and `pnpm chaos --seed <seed>` disturbs as a run that failed did.
 */

const rounds = 6;
const seed = randomInt(0x7fff_ffff);

test(`after whatever was killed or stopped, rows, processes, sockets, users, receipts and events agree (seed ${seed})`, async () => {
  const lines: string[] = [];
  const summary = await runRounds({
    seed,
    goesOn: (round) => round <= rounds,
    report: (line) => lines.push(line),
  });
  expect(lines).toHaveLength(rounds);
  expect(summary.instances).toBeGreaterThan(rounds);
  expect(summary.calls).toBeGreaterThan(rounds);
}, 300_000);
