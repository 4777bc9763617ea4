import { randomUUID } from "node:crypto";

import { createAdministrator, createPasswords, system } from "@minimcp/core";
import { openDatabase } from "@minimcp/db";

import { mutate } from "./call.ts";

export const password = "four unrelated words together";

/** Where the product is reached: one in this process, or one of processes of its own. */
export interface Reachable {
  api: { url: string };
  database: { apiUrl: string };
}

export interface Account {
  id: string;
  email: string;
  token: string;
  refreshToken: string;
}

/** An administrator, made as the command line makes the first one. */
export async function createAdmin(product: Reachable): Promise<Account> {
  const email = `admin-${randomUUID().slice(0, 8)}@example.com`;
  await using db = openDatabase({
    url: product.database.apiUrl,
    applicationName: "test cli",
    maxConnections: 1,
  });
  await createAdministrator(
    {
      db,
      passwords: createPasswords({ memoryKiB: 1024, passes: 1 }),
      principal: system("test"),
      request: { id: randomUUID(), ipAddress: null, userAgent: null },
    },
    { email, password },
  );
  return await signIn(product, email);
}

/** An account that came in by an administrator's invitation. */
export async function createUser(product: Reachable, admin: Account, role = "user"): Promise<Account> {
  const email = `${role}-${randomUUID().slice(0, 8)}@example.com`;
  const invitation = await mutate(
    product.api.url,
    "admin.invitations.create",
    { role },
    { token: admin.token },
  );
  const signedUp = await mutate(product.api.url, "auth.signUp", {
    email,
    password,
    inviteCode: invitation.data.code,
  });
  return accountOf(signedUp.data);
}

export async function signIn(product: Reachable, email: string): Promise<Account> {
  const answer = await mutate(product.api.url, "auth.signIn", { email, password });
  return accountOf(answer.data);
}

/** Signs in as a server does that keeps the sign-in for a browser. @returns the session bearer */
export async function openSession(product: Reachable, { email }: Account): Promise<string> {
  const answer = await mutate(product.api.url, "auth.signIn", { email, password, as: "session" });
  return answer.data.session.bearer;
}

function accountOf(signedIn: {
  user: { id: string; email: string };
  tokens: { accessToken: string; refreshToken: string };
}): Account {
  const { user, tokens } = signedIn;
  return { id: user.id, email: user.email, token: tokens.accessToken, refreshToken: tokens.refreshToken };
}
