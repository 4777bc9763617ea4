import { z } from "zod";

import { answerMutation, answerOwnMutation } from "../../../server/answer-mutation.ts";
import { forgetBearer } from "../../../session/session-cookie.ts";
import { signIn } from "../../../session/sign-in.ts";

const Credentials = z.strictObject({ email: z.string(), password: z.string() });

export async function POST(request: Request): Promise<Response> {
  return await answerMutation(request, Credentials, async ({ email, password }) => {
    await signIn(email, password);
    return {};
  });
}

/** Ends the session at the API, so that a copy of the cookie opens nothing, and has the browser drop what it kept. */
export async function DELETE(request: Request): Promise<Response> {
  const response = await answerOwnMutation(request, z.strictObject({}), async (client) => {
    await client.auth.signOut.mutate();
    await forgetBearer();
    return {};
  });
  if (response.ok) response.headers.set("Clear-Site-Data", '"cache", "storage"');
  return response;
}
