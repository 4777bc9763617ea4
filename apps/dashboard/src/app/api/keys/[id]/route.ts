import { z } from "zod";

import { answerOwnMutation } from "../../../../server/answer-mutation.ts";

interface Address {
  params: Promise<{ id: string }>;
}

/** Every instance that uses the key ends with it. */
export async function DELETE(request: Request, { params }: Address): Promise<Response> {
  const { id } = await params;
  return await answerOwnMutation(request, z.strictObject({}), async (client) => {
    await client.apiKey.delete.mutate({ id });
    return {};
  });
}
