import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

/** What a client or an owner does. `pick` chooses among the instances that there are at that moment. */
export type Work =
  | { kind: "create"; isKeyed: boolean }
  | { kind: "call" | "longCall" | "revoke" | "renew" | "deleteKey" }
  | { kind: "expire"; inMs: number }
  /** Creates so many at once, and revokes each of them as soon as it is there. */
  | { kind: "burst"; count: number };

export const victims = ["first", "second", "api", "database", "child"] as const;
export type Victim = (typeof victims)[number];

export interface Step {
  atMs: number;
  pick: number;
  work: Work;
}

export interface Disturbance {
  atMs: number;
  pick: number;
  /**
   * By SIGKILL, by SIGSTOP and SIGCONT, or by a wall clock that is set. A child is only killed: what comes of it is up to
   * its worker. The clock of a worker alone is set: that of the database ends what is due, by right.
   */
  kind: "kill" | "pause" | "jump";
  victim: Victim;
  /** How long it is away, or goes by another time. */
  downMs: number;
  /** How far its clock is off then. */
  jumpSeconds: number;
}

export interface Round {
  number: number;
  steps: readonly Step[];
  disturbances: readonly Disturbance[];
}

/** How long the steps of a round take; disturbances may last longer. */
export const roundMs = 3_000;
const stepsPerRound = 80;
const burstSize = 20;
/** Shorter than a lease: what becomes of a node that stands still for longer has a test of its own. */
const longestDownMs = 4_000;
const choices = 0x7fff_ffff;
const daySeconds = 86_400;

/** The rounds of a seed, without end: the same seed is the same plan. */
export function* planRounds(seed: number): Generator<Round, never> {
  const random = xoroshiro128plus(seed);
  const below = (limit: number): number => uniformInt(random, 0, limit - 1);
  const oneOf = <const Choice>(among: readonly [Choice, ...Choice[]]): Choice =>
    among[below(among.length)] ?? among[0];

  function planWork(): Work {
    const kind = oneOf(["create", "call", "call", "call", "call", "call", "call", "other"]);
    if (kind === "create") return { kind, isKeyed: below(3) === 0 };
    if (kind === "call") return { kind };
    const other = oneOf(["longCall", "revoke", "revoke", "renew", "deleteKey", "expire", "expire"]);
    return other === "expire" ? { kind: other, inMs: below(2_000) } : { kind: other };
  }

  function planDisturbance(): Disturbance {
    const victim = oneOf(victims);
    const isWorker = victim === "first" || victim === "second";
    const kind =
      victim === "child"
        ? "kill"
        : oneOf(["kill", "kill", "kill", "pause", isWorker ? ("jump" as const) : ("pause" as const)]);
    return {
      atMs: below(roundMs),
      pick: below(choices),
      kind,
      victim,
      downMs: below(longestDownMs),
      jumpSeconds: oneOf([-daySeconds, -60, 60, daySeconds]),
    };
  }

  for (let number = 1; ; number += 1) {
    const steps = Array.from({ length: stepsPerRound }, (): Step => ({
      atMs: below(roundMs),
      pick: below(choices),
      work: planWork(),
    }));
    if (below(5) === 0) {
      steps.push({ atMs: below(roundMs), pick: below(choices), work: { kind: "burst", count: burstSize } });
    }
    const disturbances = Array.from({ length: 1 + below(3) }, planDisturbance);
    yield { number, steps: inOrder(steps), disturbances: inOrder(disturbances) };
  }
}

function inOrder<Timed extends { atMs: number }>(timed: readonly Timed[]): Timed[] {
  return timed.toSorted((one, other) => one.atMs - other.atMs);
}

export function describeDisturbances({ disturbances }: Round): string {
  return disturbances.map(describeDisturbance).join(", ");
}

function describeDisturbance({ atMs, kind, victim, downMs, jumpSeconds }: Disturbance): string {
  const by = kind === "jump" ? ` by ${jumpSeconds} s` : "";
  const length = victim === "child" ? "" : ` for ${downMs} ms`;
  return `${kind} ${victim} at ${atMs} ms${by}${length}`;
}
