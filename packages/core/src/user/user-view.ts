import { users } from "@minimcp/db/schema";

import type { UserRole } from "../principal.ts";

/** An account as its owner and administrators see it. */
export interface UserView {
  id: string;
  email: string;
  name: string;
  role: UserRole;
  status: "active" | "suspended";
  createdAt: Date;
}

export const userColumns = {
  id: users.id,
  email: users.email,
  name: users.name,
  role: users.role,
  status: users.status,
  createdAt: users.createdAt,
};
