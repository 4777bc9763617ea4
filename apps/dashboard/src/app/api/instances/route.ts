import { z } from "zod";

import type { CreatedView } from "../../../components/instance/shown-once.tsx";
import { toLiveInstance } from "../../../live/live-instance.ts";
import { answerOwnMutation } from "../../../server/answer-mutation.ts";

const Creation = z.strictObject({
  type: z.string(),
  expirationMinutes: z.number(),
  idempotencyKey: z.string(),
  label: z.exactOptional(z.string()),
  apiKeyId: z.exactOptional(z.string()),
});

export async function POST(request: Request): Promise<Response> {
  return await answerOwnMutation(request, Creation, async (client, input) => {
    const { instance, accessToken, snippets } = await client.mcp.create.mutate(input);
    return {
      instance: { nowMs: Date.now(), value: toLiveInstance(instance) },
      accessToken,
      snippets,
    } satisfies CreatedView;
  });
}
