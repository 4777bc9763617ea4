import { z } from "zod";

import { answerOwnMutation } from "../../../../server/answer-mutation.ts";

interface Address {
  params: Promise<{ id: string }>;
}

export async function DELETE(request: Request, { params }: Address): Promise<Response> {
  const { id } = await params;
  return await answerOwnMutation(request, z.strictObject({}), async (client) => {
    await client.mcp.revoke.mutate({ id });
    return {};
  });
}
