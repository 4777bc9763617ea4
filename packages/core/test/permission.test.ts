import { describe, expect, test } from "vitest";

import {
  actingFor,
  anonymous,
  isPermission,
  isPermitted,
  type Permission,
  permissionsOf,
  permissionTable,
  system,
} from "../src/index.ts";

const permissions = Object.keys(permissionTable) as Permission[];
const roles = ["user", "auditor", "admin"] as const;

describe("the permission table", () => {
  test("lets nobody in anonymously but where that is its whole point", () => {
    expect(permissions.filter((permission) => isPermitted(anonymous, permission))).toEqual(["public"]);
  });

  test("gives what concerns every user's things to administrators and the product alone", () => {
    for (const permission of permissions.filter((name) => name.endsWith(":any") || name === "user:invite")) {
      const holders = roles.filter((role) => isPermitted(actingFor({ id: "x", role }), permission));
      expect(holders, permission).toEqual(["admin"]);
      expect(isPermitted(system("job"), permission), permission).toBe(true);
    }
  });

  test("gives the product itself nothing that is about one person's own things", () => {
    for (const permission of permissions.filter((name) => name.endsWith("own") || name === "mcp:create")) {
      expect(isPermitted(system("job"), permission), permission).toBe(false);
    }
  });

  test("gives an auditor nothing of users' content", () => {
    expect(permissionsOf("auditor")).toEqual(["public", "own"]);
  });

  test("shows a role exactly what it may do", () => {
    for (const role of roles) {
      const principal = actingFor({ id: "x", role });
      expect(permissionsOf(role)).toEqual(
        permissions.filter((permission) => isPermitted(principal, permission)),
      );
    }
  });

  test.each(["", "toString", "__proto__", "constructor", "mcp:*", "*", "MCP:CREATE", null, undefined, 1, {}])(
    "does not know %j",
    (name) => {
      expect(isPermission(name)).toBe(false);
    },
  );
});
