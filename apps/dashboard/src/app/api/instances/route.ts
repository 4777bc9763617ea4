import { z } from "zod";

import type { CreatedView } from "../../../components/instance/shown-once.tsx";
import { seenNow, toLiveInstance } from "../../../live/live-instance.ts";
import { answerOwnMutation } from "../../../server/answer-mutation.ts";

const Creation = z.strictObject({
  type: z.string(),
  expirationMinutes: z.number(),
  config: z.record(z.string(), z.string()),
  idempotencyKey: z.string(),
  label: z.exactOptional(z.string()),
  apiKeyId: z.exactOptional(z.string()),
});

export async function POST(request: Request): Promise<Response> {
  return await answerOwnMutation(request, Creation, async (client, input) => {
    const { instance, accessToken, snippets } = await client.mcp.create.mutate(input);
    return {
      instance: seenNow(toLiveInstance(instance)),
      accessToken,
      snippets,
    } satisfies CreatedView;
  });
}
