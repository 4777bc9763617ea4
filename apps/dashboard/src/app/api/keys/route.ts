import { z } from "zod";

import { answerOwnMutation } from "../../../server/answer-mutation.ts";

const NewKey = z.strictObject({
  provider: z.enum(["github", "figma", "google"]),
  label: z.string(),
  secret: z.string(),
});

export async function POST(request: Request): Promise<Response> {
  return await answerOwnMutation(request, NewKey, async (client, input) => {
    await client.apiKey.create.mutate(input);
    return {};
  });
}
