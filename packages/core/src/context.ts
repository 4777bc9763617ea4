import type { Database, DatabaseActor, Scope } from "@minimcp/db";

import type { AccessTokens } from "./token/access-token.ts";
import type { Passwords } from "./auth/passwords.ts";
import { PreconditionFailed } from "./errors.ts";
import type { InstanceFeed } from "./mcp/instance-feed.ts";
import type { Principal, UserPrincipal } from "./principal.ts";
import type { Vault } from "./vault/vault.ts";

/** Where a call came from, for the audit trail and the log. */
export interface RequestOrigin {
  /** One id ties log, audit event and error together. */
  id: string;
  ipAddress: string | null;
  userAgent: string | null;
}

/** What an installation lets be set. Every number has its unit in its name. */
export interface Settings {
  /** Where clients reach the gateway, without a trailing slash. */
  gatewayUrl: string;
  /** Who may create an account by themselves. */
  signUpPolicy: "invite" | "open" | "closed";
  /** A refresh token that is not used for this long is dead. */
  refreshIdleDays: number;
  /** A sign-in ends after this, however it is used. */
  sessionAbsoluteDays: number;
  maxSessionsPerUser: number;
  /** A session bearer that is not used for this long is dead. */
  bearerIdleMinutes: number;
  /** And after this, however it is used. */
  bearerAbsoluteHours: number;
  /** How many instances one user may have at a time. */
  instancesPerUser: number;
  /** How often the deadline of one instance can be moved. */
  renewalsPerInstance: number;
  /** From its creation, an instance lives at most this long, however often it is renewed. */
  renewedLifetimeMinutes: number;
  /** How long a revoke waits for the worker's word that everything is gone. */
  revokeWaitMs: number;
}

export const defaultSettings: Omit<Settings, "gatewayUrl"> = {
  signUpPolicy: "invite",
  refreshIdleDays: 7,
  sessionAbsoluteDays: 30,
  maxSessionsPerUser: 10,
  bearerIdleMinutes: 60,
  bearerAbsoluteHours: 12,
  instancesPerUser: 10,
  renewalsPerInstance: 10,
  renewedLifetimeMinutes: 1_440,
  revokeWaitMs: 5_000,
};

/** What every verb of the control plane gets. */
export interface Context {
  db: Database;
  vault: Vault;
  passwords: Passwords;
  accessTokens: AccessTokens;
  /** What changes while it is looked at. */
  feed: InstanceFeed;
  settings: Settings;
  principal: Principal;
  request: RequestOrigin;
  /** Aborts when nobody waits for the answer any more. */
  signal: AbortSignal;
}

/** The database's view of a principal: which rows it may see (see the row policies). */
export function databaseActor(principal: Principal): DatabaseActor {
  switch (principal.kind) {
    case "anonymous":
      return { userId: null, scope: "user" };
    case "system":
      return { userId: null, scope: "system" };
    case "user":
      return { userId: principal.userId, scope: "user" };
  }
}

/** The same person, looking at everybody's rows. Only verbs behind an `:any` permission use it. */
export function overseer(principal: Principal): DatabaseActor {
  const actor = databaseActor(principal);
  const scope: Scope = principal.kind === "user" ? "admin" : actor.scope;
  return { ...actor, scope };
}

/**
 * The person a verb works for.
 * @throws PreconditionFailed when the product itself calls: a script must say for whom it acts
 */
export function requireUser(ctx: Pick<Context, "principal">): UserPrincipal {
  if (ctx.principal.kind === "user") return ctx.principal;
  throw new PreconditionFailed(
    "permission.userRequired",
    "This works on one person's own things. In a script, call it with a caller that acts for a user.",
  );
}
