import type { userRoles } from "@minimcp/db/schema";

export type UserRole = (typeof userRoles)[number];

/** Nobody has said who they are. */
export interface AnonymousPrincipal {
  kind: "anonymous";
}

/** A person, by an access token or through a script that acts for them. */
export interface UserPrincipal {
  kind: "user";
  via: "accessToken" | "script";
  userId: string;
  role: UserRole;
  /** The sign-in behind the token; a script has none. */
  sessionId: string | null;
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
  return { kind: "user", via: "script", userId: user.id, role: user.role, sessionId: null };
}
