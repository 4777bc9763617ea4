// `pnpm chaos [--minutes 60] [--rounds n] [--seed n]`: kills and stops parts of the running product at random, and checks
// after each round that everything agrees. It ends at the first thing that does not, with the seed that shows it again.
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";

import { runRounds } from "./run-rounds.ts";

const { values } = parseArgs({
  options: { minutes: { type: "string" }, rounds: { type: "string" }, seed: { type: "string" } },
});
const minutes = readNumber("minutes", values.minutes ?? (values.rounds === undefined ? "60" : "1440"));
const rounds = readNumber("rounds", values.rounds ?? String(Number.MAX_SAFE_INTEGER));
const seed = readNumber("seed", values.seed ?? String(randomInt(0x7fff_ffff)));

function readNumber(name: string, text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 0) {
    process.stderr.write(`--${name} takes a whole number, not "${text}".\n`);
    process.exit(2);
  }
  return number;
}

const endAt = performance.now() + minutes * 60_000;
let isInterrupted = false;
// What it started ends with the round; whoever cannot wait for that presses once more.
process.once("SIGINT", () => (isInterrupted = true));
const say = (line: string): void => void process.stdout.write(`${line}\n`);
say(`seed ${seed}`);
try {
  const summary = await runRounds({
    seed,
    goesOn: (round) => !isInterrupted && round <= rounds && performance.now() < endAt,
    report: say,
  });
  say(
    `seed ${seed}: nothing broken in ${summary.rounds} rounds, ${summary.kills} kills, ${summary.pauses} pauses, ${summary.jumps} jumps of a clock, ${summary.instances} instances, ${summary.calls} answered calls.`,
  );
} catch (error) {
  for (const message of messagesOf(error)) say(message);
  say(`To see it again: pnpm chaos --seed ${seed}`);
  process.exitCode = 1;
}

/** What is broken may also break the end of the run; both are told. */
function messagesOf(error: unknown): string[] {
  if (error instanceof SuppressedError) return [...messagesOf(error.suppressed), ...messagesOf(error.error)];
  return [error instanceof Error ? error.message : String(error)];
}
