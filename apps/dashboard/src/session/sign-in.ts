import "server-only";

import { openClient } from "../server/open-client.ts";
import { keepBearer } from "./session-cookie.ts";

/** Signs in at the API and seals what proves it. @throws MiniMcpError */
export async function signIn(email: string, password: string): Promise<void> {
  const client = await openClient();
  const { session } = await client.auth.signIn.mutate({ email, password, as: "session" });
  if (session === undefined)
    throw new Error("the API answered a sign-in with something other than a session");
  await keepBearer(session.bearer);
}
