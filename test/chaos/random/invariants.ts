import { readdir, readFile } from "node:fs/promises";

import { run } from "../../support/sql.ts";
import { type Known, type Ledger, pingAt } from "./ledger.ts";
import type { World } from "./world.ts";

interface Row {
  id: string;
  state: string;
  end_reason: string | null;
  failure: string | null;
  leased: boolean;
  due: boolean;
  calls: string;
  failures: string;
  closed: boolean;
  incomplete: boolean;
  ends: number;
  creations: number;
}

interface Found {
  id: string;
  pid: number;
  uid: number;
}

/** A child that dies by itself so often is not started again. */
const crashesToFailure = 5;
/** Of those that are over, the last ones are called once more. */
const lookedBackAt = 20;

/**
 * What does not agree although everything runs and nobody calls: rows against what owners and clients were told, processes, sockets,
 * users, receipts and audit events against rows. Some of it only needs a moment more.
 */
export async function findBroken(world: World, ledger: Ledger): Promise<string[]> {
  const { ownerUrl } = world.database.urls;
  const rows = await run<Row>(
    ownerUrl,
    `select i.id, i.state, i.end_reason, i.failure, coalesce(i.lease_until > now(), false) as leased,
            i.expires_at <= now() as due, r.calls, r.failures, r.closed_at is not null as closed, r.incomplete,
            (select count(*)::int from audit.events where resource_id = i.id::text and action = 'instance.end') as ends,
            (select count(*)::int from audit.events
             where resource_id = i.id::text and action = 'mcp.create' and result = 'success') as creations
     from instances i join receipts r on r.instance_id = i.id`,
  );
  const known = new Map(ledger.instances.map((instance) => [instance.id, instance]));
  const living = rows.filter(isLiving);
  const found = await findProcesses(new Set(rows.map(({ id }) => id)));
  return [
    ...ledger.broken,
    ...world.complaints(),
    ...(ledger.unanswered > 0 ? [`${ledger.unanswered} creations are not answered`] : []),
    ...rows.flatMap((row) => judgeRow(row, known.get(row.id))),
    ...[...known.keys()].filter((id) => !rows.some((row) => row.id === id)).map((id) => `${id} has no row`),
    ...judgeProcesses(living, found),
    ...(await judgeSockets(world, living.length)),
    ...(await judgePortLeases(ownerUrl)),
  ];
}

/**
 * Instances that are served by another number of workers than they should be: one as long as nobody asked for the end,
 * and none afterwards.
 */
export async function findMisserved(world: World, { instances }: Ledger): Promise<string[]> {
  const living = instances.filter(({ isEndAsked }) => !isEndAsked);
  const over = instances.filter(({ overAt }) => overAt !== undefined).slice(-lookedBackAt);
  return [
    ...(await Promise.all(living.map((instance) => judgeService(world, instance, 1)))),
    ...(await Promise.all(over.map((instance) => judgeService(world, instance, 0)))),
  ].flat();
}

function isLiving({ state }: Row): boolean {
  return state !== "ended" && state !== "failed";
}

function judgeRow(row: Row, known: Known | undefined): string[] {
  const { id, state, end_reason: reason, creations } = row;
  const broken: string[] = [];
  if (creations !== 1) broken.push(`${id} has ${creations} events of its creation`);
  if (known === undefined) {
    // Its creation was answered to nobody before its key was deleted.
    if (isLiving(row) || reason !== "keyDeleted") broken.push(`${id} is ${state}, and nobody knows of it`);
  } else broken.push(...judgeAgainst(row, known));
  if (isLiving(row)) {
    if (state !== "ready") broken.push(`${id} is ${state}`);
    if (row.due) broken.push(`${id} is due and not over`);
    if (!row.leased) broken.push(`${id} is held by nobody`);
    if (row.closed || row.ends > 0) broken.push(`${id} is ${state}, but its receipt says that it is over`);
  } else {
    if (row.ends !== 1) broken.push(`${id} is ${state} with ${row.ends} events of its end`);
    if (!row.closed) broken.push(`${id} is ${state}, and its receipt open`);
    if (row.leased) broken.push(`${id} is ${state}, and held`);
  }
  return broken;
}

function judgeAgainst(row: Row, known: Known): string[] {
  const { id, state } = row;
  const broken: string[] = [];
  const calls = Number(row.calls);
  if (known.overAt !== undefined && isLiving(row)) broken.push(`${id} was said to be over, and is ${state}`);
  if (state === "ended" && !known.isEndAsked)
    broken.push(`${id} ended as ${row.end_reason}, which nobody asked for`);
  if (state === "failed" && known.childKills < crashesToFailure) {
    broken.push(`${id} failed after ${known.childKills} kills: ${row.failure}`);
  }
  if (calls > known.sent) broken.push(`the receipt of ${id} has ${calls} calls, ${known.sent} were sent`);
  if (!row.incomplete && calls < known.answered) {
    broken.push(`the receipt of ${id} has ${calls} calls, ${known.answered} were answered`);
  }
  return broken;
}

/** Host processes of sandboxes of these instances. */
async function findProcesses(ids: ReadonlySet<string>): Promise<Found[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      // A zombie has no environment any more.
      const environment = await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "");
      const id = /(?:^|\0)MCP_ID=([^\0]+)/.exec(environment)?.[1];
      if (id === undefined || !ids.has(id)) return undefined;
      const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
      return { id, pid: Number(pid), uid: Number(/^Uid:\t(\d+)/m.exec(status)?.[1]) };
    }),
  );
  return found.filter((process) => process !== undefined);
}

function judgeProcesses(living: readonly Row[], found: readonly Found[]): string[] {
  const alive = new Set(living.map(({ id }) => id));
  const without = living.filter(({ id }) => !found.some((process) => process.id === id));
  const usersOf = Map.groupBy(found, ({ uid }) => uid);
  // An ordinary user has no uids to give; root gives each instance one of its own.
  const shared =
    process.getuid?.() === 0
      ? [...usersOf].filter(([, all]) => new Set(all.map(({ id }) => id)).size > 1)
      : [];
  return [
    ...found
      .filter(({ id }) => !alive.has(id))
      .map(({ id, pid }) => `process ${pid} of ${id}, which is over`),
    ...without.map(({ id }) => `${id} has no process`),
    ...shared.map(([uid]) => `several instances run as user ${uid}`),
  ];
}

async function judgeSockets(world: World, expected: number): Promise<string[]> {
  const sockets = await world.deployment.runtime.sockets();
  return sockets.length === expected ? [] : [`${sockets.length} sockets for ${expected} instances`];
}

async function judgePortLeases(ownerUrl: string): Promise<string[]> {
  const [row] = await run<{ count: number }>(
    ownerUrl,
    `select count(*)::int as count from port_leases p join instances i on i.id = p.instance_id
     where i.state not in ('ended', 'failed') and i.fence = p.fence`,
  );
  // None of the types here listens on a port.
  return row?.count === 0 ? [] : [`${row?.count} ports are leased`];
}

async function judgeService(world: World, instance: Known, expected: 0 | 1): Promise<string[]> {
  const answers = await Promise.all(world.workers.map(({ url }) => pingAt(url, instance)));
  const serving = answers.filter((answer) => answer?.status === 200).length;
  if (serving === expected) return [];
  const said = answers.map((answer) => `${answer?.status ?? "nothing"} ${answer?.reason ?? ""}`.trimEnd());
  return [`${instance.id} is served by ${serving} workers: ${said.join(", ")}`];
}
