import { toLiveInstance } from "../../../live/live-instance.ts";
import { streamChanges } from "../../../live/stream-changes.ts";

export async function GET(request: Request): Promise<Response> {
  return await streamChanges(request, async (client, signal) => {
    const { items } = await client.mcp.list.query({}, { signal });
    return items.map(toLiveInstance);
  });
}
