import { randomUUID } from "node:crypto";

import {
  CreateAdministrator,
  createAdministrator,
  createPasswords,
  createSetUpInvitation,
  hasUsers,
  type RequestOrigin,
  system,
  type UserView,
} from "@minimcp/core";
import { type DatabaseTls, openDatabase } from "@minimcp/db";

import { exitCode } from "../exit-code.ts";
import { Failure } from "../failure.ts";

/** The database as the API reaches it. */
export interface ApiDatabase {
  url: string;
  tls: DatabaseTls | undefined;
}

/** @throws Failure for input that cannot be used, Conflict (`auth.emailTaken`) */
export async function addAdministrator(database: ApiDatabase, input: CreateAdministrator): Promise<UserView> {
  const parsed = CreateAdministrator.safeParse(input);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join(".")} ${issue.message}`);
    throw new Failure(`The administrator cannot be created: ${problems.join("; ")}.`, exitCode.usage);
  }
  await using db = openDatabase({ ...database, applicationName: "minimcp admin", maxConnections: 1 });
  return await createAdministrator(
    {
      db,
      passwords: createPasswords(),
      principal: system("cli"),
      request: ownRequest(),
    },
    parsed.data,
  );
}

/** Whether anybody has an account. */
export async function isInhabited(database: ApiDatabase): Promise<boolean> {
  await using db = openDatabase({ ...database, applicationName: "minimcp start", maxConnections: 1 });
  return await hasUsers({ db, principal: system("cli") });
}

/** The code of the set-up link, with which the first administrator creates their account. Earlier ones become void. */
export async function makeSetUpCode(database: ApiDatabase): Promise<string> {
  await using db = openDatabase({ ...database, applicationName: "minimcp start", maxConnections: 1 });
  const { code } = await createSetUpInvitation({ db, principal: system("cli"), request: ownRequest() });
  return code;
}

function ownRequest(): RequestOrigin {
  return { id: randomUUID(), ipAddress: null, userAgent: null };
}
