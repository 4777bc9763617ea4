import { toLiveInstance } from "../../../../../live/live-instance.ts";
import { streamChanges } from "../../../../../live/stream-changes.ts";

interface Address {
  params: Promise<{ id: string }>;
}

export async function GET(request: Request, { params }: Address): Promise<Response> {
  const { id } = await params;
  return await streamChanges(request, async (client, signal) =>
    toLiveInstance(await client.mcp.get.query({ id }, { signal })),
  );
}
