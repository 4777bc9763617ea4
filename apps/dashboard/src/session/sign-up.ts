import "server-only";

import { openClient } from "../server/open-client.ts";
import { signIn } from "./sign-in.ts";

export interface NewAccount {
  inviteCode: string;
  email: string;
  name: string;
  password: string;
}

/** Creates an account and signs it in. @throws MiniMcpError */
export async function signUp({ inviteCode, email, name, password }: NewAccount): Promise<void> {
  const anybody = await openClient();
  const { tokens } = await anybody.auth.signUp.mutate({
    inviteCode,
    email,
    password,
    ...(name === "" ? {} : { name }),
  });
  await signIn(email, password);
  // The browser's session is one of its own; that of the tokens would stay in the person's list, used by nobody.
  await (await openClient(tokens.accessToken)).auth.signOut.mutate();
}
