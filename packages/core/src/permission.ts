import type { Principal, UserRole } from "./principal.ts";

/** Who holds a permission: the roles of people, and whether the product itself does. */
interface Holders {
  anonymous: boolean;
  roles: readonly UserRole[];
  /** `:own` permissions are about a person's own things, and the system is not a person. */
  system: boolean;
}

const everyone: readonly UserRole[] = ["user", "auditor", "admin"];
const owners: readonly UserRole[] = ["user", "admin"];

/**
 * The whole policy. A procedure names one of these keys; what is not listed here can be done by nobody.
 * `:own` means the caller's own objects (the queries enforce it), `:any` means every user's.
 */
export const permissionTable = {
  public: { anonymous: true, roles: everyone, system: true },
  own: { anonymous: false, roles: everyone, system: false },
  "apikey:manage:own": { anonymous: false, roles: owners, system: false },
  "mcp:create": { anonymous: false, roles: owners, system: false },
  "mcp:read:own": { anonymous: false, roles: owners, system: false },
  "mcp:delete:own": { anonymous: false, roles: owners, system: false },
  "mcp:read:any": { anonymous: false, roles: ["admin"], system: true },
  "mcp:terminate:any": { anonymous: false, roles: ["admin"], system: true },
  "user:read:any": { anonymous: false, roles: ["admin"], system: true },
  "user:invite": { anonymous: false, roles: ["admin"], system: true },
} as const satisfies Record<string, Holders>;

export type Permission = keyof typeof permissionTable;

export function isPermission(value: unknown): value is Permission {
  return typeof value === "string" && Object.hasOwn(permissionTable, value);
}

/** Whether a principal holds a permission. Ownership of the object is decided in the query that reads it. */
export function isPermitted(principal: Principal, permission: Permission): boolean {
  const holders: Holders = permissionTable[permission];
  switch (principal.kind) {
    case "anonymous":
      return holders.anonymous;
    case "system":
      return holders.system;
    case "user":
      return holders.roles.includes(principal.role);
  }
}

/** What a role may do, for showing it to the person who has it. */
export function permissionsOf(role: UserRole): Permission[] {
  return (Object.keys(permissionTable) as Permission[]).filter((permission) =>
    (permissionTable[permission] as Holders).roles.includes(role),
  );
}
