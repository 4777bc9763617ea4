import type { Transaction } from "@minimcp/db";
import { credentials, users } from "@minimcp/db/schema";

import { Conflict } from "../errors.ts";
import type { UserRole } from "../principal.ts";
import { userColumns, type UserView } from "./user-view.ts";

interface NewUser {
  id: string;
  email: string;
  name: string;
  role: UserRole;
  passwordHash: string;
}

/**
 * Writes an account and its password, in its caller's transaction.
 * @throws Conflict (`auth.emailTaken`)
 */
export async function createUser(tx: Transaction, { passwordHash, ...values }: NewUser): Promise<UserView> {
  const [user] = await tx.insert(users).values(values).onConflictDoNothing().returning(userColumns);
  if (user === undefined) {
    throw new Conflict(
      "auth.emailTaken",
      "There is an account with this e-mail address already. Sign in instead.",
    );
  }
  await tx.insert(credentials).values({ userId: user.id, passwordHash });
  return user;
}
