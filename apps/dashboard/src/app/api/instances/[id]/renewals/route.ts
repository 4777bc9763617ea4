import { z } from "zod";

import { answerOwnMutation } from "../../../../../server/answer-mutation.ts";

const Renewal = z.strictObject({ minutes: z.number() });

interface Address {
  params: Promise<{ id: string }>;
}

/** The page hears of the new deadline by its stream. */
export async function POST(request: Request, { params }: Address): Promise<Response> {
  const { id } = await params;
  return await answerOwnMutation(request, Renewal, async (client, { minutes }) => {
    await client.mcp.renew.mutate({ id, minutes });
    return {};
  });
}
