import type { UserView } from "@minimcp/core";

import { type Script, ScriptError } from "./run-script.ts";

/** @throws ScriptError when nobody has an account with this address */
export async function findUser({ asProduct }: Script, email: string): Promise<UserView> {
  const { items } = await asProduct.admin.users.list({ email });
  const [user] = items;
  if (user === undefined) throw new ScriptError(`Nobody has an account with the address ${email}.`);
  return user;
}
