import type { userRoles } from "@minimcp/db/schema";

export type UserRole = (typeof userRoles)[number];

/** Nobody has said who they are. */
export interface AnonymousPrincipal {
  kind: "anonymous";
}

/** A person, by a credential of a sign-in or through a script that acts for them. */
export interface UserPrincipal {
  kind: "user";
  via: "accessToken" | "sessionBearer" | "script";
  userId: string;
  role: UserRole;
  /** The sign-in behind the credential; a script has none. */
  session: SessionOrigin | null;
}

/** What a credential of a sign-in stands on. */
export interface SessionOrigin {
  id: string;
  /** Of the account, when the credential was issued: a later one means that its privileges have changed since. */
  epoch: number;
  /** When the credential itself is over; null where only the session says so. */
  expiresAt: Date | null;
}

/** The product itself: background work and internal scripts. Never reachable over the network. */
export interface SystemPrincipal {
  kind: "system";
  /** What acts, for the reader of a log: `worker`, `cli`, a script's name. */
  name: string;
}

export type Principal = AnonymousPrincipal | UserPrincipal | SystemPrincipal;

export const anonymous: AnonymousPrincipal = { kind: "anonymous" };

/** A principal for internal scripts and background work. */
export function system(name: string): SystemPrincipal {
  return { kind: "system", name };
}

/** A principal for scripts that do something in the name of one user, with that user's permissions and no more. */
export function actingFor(user: { id: string; role: UserRole }): UserPrincipal {
  return { kind: "user", via: "script", userId: user.id, role: user.role, session: null };
}
