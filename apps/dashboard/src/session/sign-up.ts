import "server-only";

import { createMiniMcpClient } from "@minimcp/client";

import { dashboardConfig } from "../env.ts";
import { signIn } from "./sign-in.ts";

export interface NewAccount {
  inviteCode: string;
  email: string;
  name: string;
  password: string;
}

/** Creates an account and signs it in. @throws MiniMcpError */
export async function signUp({ inviteCode, email, name, password }: NewAccount): Promise<void> {
  const url = dashboardConfig().PUBLIC_URL;
  const { tokens } = await createMiniMcpClient({ url }).auth.signUp.mutate({
    inviteCode,
    email,
    password,
    ...(name === "" ? {} : { name }),
  });
  await signIn(email, password);
  // The browser's session is one of its own; that of the tokens would stay in the person's list, used by nobody.
  await createMiniMcpClient({ url, token: tokens.accessToken }).auth.signOut.mutate();
}
