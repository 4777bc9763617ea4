import { z } from "zod";

import { answerMutation } from "../../../server/answer-mutation.ts";
import { signUp } from "../../../session/sign-up.ts";

const NewAccount = z.strictObject({
  inviteCode: z.string(),
  email: z.string(),
  name: z.string(),
  password: z.string(),
});

export async function POST(request: Request): Promise<Response> {
  return await answerMutation(request, NewAccount, async (account) => {
    await signUp(account);
    return {};
  });
}
