import { randomUUID } from "node:crypto";

import {
  CreateAdministrator,
  createAdministrator,
  createPasswords,
  hasUsers,
  system,
  type UserView,
} from "@minimcp/core";
import { openDatabase } from "@minimcp/db";

import { exitCode } from "../exit-code.ts";
import { Failure } from "../failure.ts";

/** @throws Failure for input that cannot be used, Conflict (`auth.emailTaken`) */
export async function addAdministrator(apiUrl: string, input: CreateAdministrator): Promise<UserView> {
  const parsed = CreateAdministrator.safeParse(input);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join(".")} ${issue.message}`);
    throw new Failure(`The administrator cannot be created: ${problems.join("; ")}.`, exitCode.usage);
  }
  await using db = openDatabase({ url: apiUrl, applicationName: "minimcp admin", maxConnections: 1 });
  return await createAdministrator(
    {
      db,
      passwords: createPasswords(),
      principal: system("cli"),
      request: { id: randomUUID(), ipAddress: null, userAgent: null },
    },
    parsed.data,
  );
}

/** Whether anybody has an account. */
export async function isInhabited(apiUrl: string): Promise<boolean> {
  await using db = openDatabase({ url: apiUrl, applicationName: "minimcp start", maxConnections: 1 });
  return await hasUsers({ db, principal: system("cli") });
}
