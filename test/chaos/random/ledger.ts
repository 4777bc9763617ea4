import { randomUUID } from "node:crypto";

import { type Account, createAdmin, createUser, signIn } from "../../support/accounts.ts";
import { type CallAnswer, mutate } from "../../support/call.ts";
import { callTool, type Instance, moveDeadline, send } from "../../support/instances.ts";
import type { Step, Work } from "./plan.ts";
import type { World } from "./world.ts";

/** What the clients know of an instance: what they asked for, and what they were told. */
export interface Known extends Instance {
  owner: Account;
  apiKeyId: string | undefined;
  /** Calls that were sent, and those of them that were surely answered. */
  sent: number;
  answered: number;
  /** Since when it must not serve, as `performance.now()` counts; undefined while it may. */
  overAt: number | undefined;
  /** Whether somebody asked for its end, whatever the answer was. */
  isEndAsked: boolean;
  childKills: number;
  /** Renewals that may yet come about: each puts off whatever deadline is set meanwhile. */
  openRenewals: number;
}

interface Attempt {
  owner: Account;
  input: { type: string; apiKeyId?: string; expirationMinutes: number; idempotencyKey: string };
}

/** A type whose instances end with the key they were made with. */
export const keyedType = "keyed";
const owners = 2;
const maxLive = 12;
/** Access tokens live for fifteen. */
const signInMinutes = 10;
const minuteMs = 60_000;
const callTimeoutMs = 15_000;
/** Within so long a node has heard of an end. */
const noticeMs = 1_000;
/** A node that was cut off from the database serves for no longer than its lease. */
const leaseMs = 12_000;

/** The clients and owners of a run. */
export class Ledger {
  readonly instances: Known[] = [];
  /** Whatever must never be, seen while it was. */
  readonly broken: string[] = [];
  readonly #world: World;
  #accounts: Account[];
  #signedInAt = performance.now();
  readonly #apiKeys = new Map<string, string>();
  /** Creations that nobody heard the end of. */
  readonly #unanswered = new Set<Attempt>();

  private constructor(world: World, accounts: Account[]) {
    this.#world = world;
    this.#accounts = accounts;
  }

  static async open(world: World): Promise<Ledger> {
    const product = reachable(world);
    const admin = await createAdmin(product);
    const accounts = await Promise.all(Array.from({ length: owners }, () => createUser(product, admin)));
    return new Ledger(world, accounts);
  }

  /** Between rounds, while everything runs. */
  async prepare(): Promise<void> {
    if (performance.now() - this.#signedInAt > signInMinutes * minuteMs) {
      const product = reachable(this.#world);
      this.#accounts = await Promise.all(this.#accounts.map(({ email }) => signIn(product, email)));
      this.#signedInAt = performance.now();
    }
    for (const owner of this.#accounts) {
      if (this.#apiKeys.has(owner.id)) continue;
      const key = { provider: "github", label: randomUUID(), secret: "ghp_not-a-real-key-of-anybody" };
      const created = await this.#ask(owner, "apiKey.create", key);
      if (created?.status === 200) this.#apiKeys.set(owner.id, created.data.id);
    }
  }

  /** What nobody heard the end of is asked for again: under its idempotency key it is the same instance. */
  async settle(): Promise<void> {
    for (const attempt of this.#unanswered) await this.#create(attempt);
  }

  get unanswered(): number {
    return this.#unanswered.size;
  }

  async act({ work, pick }: Step): Promise<void> {
    const owner = choose(this.#accounts, pick);
    if (owner === undefined) throw new Error("there are owners");
    if (work.kind === "create") {
      if (this.#live().length < maxLive) await this.#create(this.#attempt(owner, work));
    } else if (work.kind === "burst") {
      await Promise.all(Array.from({ length: work.count }, () => this.#createAndRevoke(owner)));
    } else if (work.kind === "deleteKey") await this.#deleteKey(owner);
    else {
      const instance = choose(this.#live(), pick);
      if (instance !== undefined) await this.#treat(instance, work);
    }
  }

  /** An instance whose end was asked for is no target any more, but for those who look whether it is over. */
  #live(): Known[] {
    return this.instances.filter(({ isEndAsked }) => !isEndAsked);
  }

  pickLive(pick: number): Known | undefined {
    return choose(this.#live(), pick);
  }

  /** One that certainly must not serve at this moment. */
  pickOver(pick: number): Known | undefined {
    const now = performance.now();
    const over = this.instances.filter(({ overAt }) => overAt !== undefined && this.#mustBeOver(overAt, now));
    // The latest are those that may be wrong.
    return choose(over.slice(-10), pick);
  }

  #mustBeOver(overAt: number, now: number): boolean {
    const wasCutOff = this.#world.wasDatabaseAwaySince(overAt - noticeMs);
    return now - overAt > (wasCutOff ? leaseMs : noticeMs);
  }

  /** Calls one that is over at every worker. */
  async probeOver(pick: number): Promise<void> {
    const instance = this.pickOver(pick);
    if (instance === undefined) return;
    for (const worker of this.#world.workers) {
      const answer = await pingAt(worker.url, instance);
      if (answer?.status === 200) this.broken.push(`${instance.id} is over, and was served by ${worker.url}`);
    }
  }

  #attempt(owner: Account, { isKeyed }: { isKeyed: boolean }): Attempt {
    const apiKeyId = isKeyed ? this.#apiKeys.get(owner.id) : undefined;
    const shape = apiKeyId === undefined ? { type: "everything" } : { type: keyedType, apiKeyId };
    return { owner, input: { ...shape, expirationMinutes: 60, idempotencyKey: randomUUID() } };
  }

  async #create(attempt: Attempt): Promise<Known | undefined> {
    this.#unanswered.add(attempt);
    const { input } = attempt;
    // Its owner may have signed in again since.
    const owner = this.#accounts.find(({ id }) => id === attempt.owner.id) ?? attempt.owner;
    const answer = await this.#ask(owner, "mcp.create", input);
    // Whether it was stored is unknown, or it was not and can be asked for again.
    if (answer === undefined || answer.status >= 500 || answer.status === 429) return undefined;
    this.#unanswered.delete(attempt);
    // The key was deleted, and with it what was made with it.
    if (answer.status === 404 || answer.status === 409) return undefined;
    if (answer.status !== 200) {
      this.broken.push(`mcp.create answered ${answer.status}: ${answer.text}`);
      return undefined;
    }
    const { instance, accessToken, endpoint } = answer.data;
    const known: Known = {
      id: instance.id,
      endpoint,
      token: accessToken,
      owner,
      apiKeyId: input.apiKeyId,
      sent: 0,
      answered: 0,
      overAt: undefined,
      // Its key may have been deleted between its creation and this answer.
      isEndAsked: input.apiKeyId !== undefined && this.#apiKeys.get(owner.id) !== input.apiKeyId,
      childKills: 0,
      openRenewals: 0,
    };
    this.instances.push(known);
    return known;
  }

  async #createAndRevoke(owner: Account): Promise<void> {
    const instance = await this.#create(this.#attempt(owner, { isKeyed: false }));
    if (instance !== undefined) await this.#revoke(instance);
  }

  async #treat(instance: Known, work: Work): Promise<void> {
    switch (work.kind) {
      case "call":
        return await this.#echo(instance);
      case "longCall":
        return await this.#callLong(instance);
      case "revoke":
        return await this.#revoke(instance);
      case "renew":
        return await this.#renew(instance);
      case "expire":
        return await this.#expire(instance, work.inMs);
      default:
        throw new Error(`${work.kind} is no work on one instance`);
    }
  }

  /** As behind a proxy that knows all workers: the one that does not hold it says so. */
  async #echo(instance: Known): Promise<void> {
    for (const { url } of this.#world.workers) {
      instance.sent += 1;
      const signal = AbortSignal.timeout(callTimeoutMs);
      const there = { ...instance, endpoint: `${url}/mcp/${instance.id}` };
      const isAnswered = await callTool(there, "echo", { message: "hello" }, { signal })
        .then(async (answer) => {
          const text = await answer.text();
          return answer.status === 200 && text.includes("Echo: hello");
        })
        .catch(() => false);
      if (!isAnswered) continue;
      instance.answered += 1;
      return;
    }
  }

  async #callLong(instance: Known): Promise<void> {
    instance.sent += 1;
    const signal = AbortSignal.timeout(callTimeoutMs);
    await callTool(instance, "trigger-long-running-operation", { duration: 2, steps: 4 }, { signal })
      .then((answer) => answer.text())
      .catch(() => undefined);
  }

  async #revoke(instance: Known): Promise<void> {
    instance.isEndAsked = true;
    const answer = await this.#ask(instance.owner, "mcp.revoke", { id: instance.id });
    if (answer?.status === 200) instance.overAt ??= performance.now();
  }

  async #renew(instance: Known): Promise<void> {
    instance.openRenewals += 1;
    const answer = await this.#ask(instance.owner, "mcp.renew", { id: instance.id, minutes: 90 });
    if (answer !== undefined) instance.openRenewals -= 1;
  }

  async #expire(instance: Known, inMs: number): Promise<void> {
    if (instance.openRenewals > 0) return;
    instance.isEndAsked = true;
    await moveDeadline({ database: this.#world.database.urls }, instance.id, inMs).then(
      () => (instance.overAt ??= performance.now() + inMs),
      () => undefined,
    );
  }

  async #deleteKey(owner: Account): Promise<void> {
    const id = this.#apiKeys.get(owner.id);
    if (id === undefined) return;
    this.#apiKeys.delete(owner.id);
    const users = this.instances.filter(({ apiKeyId }) => apiKeyId === id);
    for (const instance of users) instance.isEndAsked = true;
    const answer = await this.#ask(owner, "apiKey.delete", { id });
    if (answer?.status !== 200) return;
    for (const instance of users) instance.overAt ??= performance.now();
  }

  /** @returns undefined when nobody answered */
  async #ask(owner: Account, procedure: string, input: object): Promise<CallAnswer | undefined> {
    const { apiUrl } = this.#world;
    if (apiUrl === undefined) return undefined;
    return await mutate(apiUrl, procedure, input, { token: owner.token }).catch(() => undefined);
  }
}

function reachable(world: World) {
  const { apiUrl, database } = world;
  if (apiUrl === undefined) throw new Error("the API runs between rounds");
  return { api: { url: apiUrl }, database: database.urls };
}

function choose<Choice>(among: readonly Choice[], pick: number): Choice | undefined {
  return among[pick % among.length];
}

/** What a worker says to a ping of an instance, by status and reason; undefined when it says nothing. */
export async function pingAt(
  workerUrl: string,
  instance: Known,
): Promise<{ status: number; reason?: string } | undefined> {
  const there = { ...instance, endpoint: `${workerUrl}/mcp/${instance.id}` };
  const signal = AbortSignal.timeout(callTimeoutMs);
  instance.sent += 1;
  const answer = await send(there, "ping", {}, { signal })
    .then(async (response) => ({ status: response.status, text: await response.text() }))
    .catch(() => undefined);
  if (answer === undefined) return undefined;
  const { status, text } = answer;
  if (status === 200) instance.answered += 1;
  return status === 401 ? { status, reason: JSON.parse(text).reason } : { status };
}
