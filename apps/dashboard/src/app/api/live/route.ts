import { seenNow, toLiveInstance } from "../../../live/live-instance.ts";
import { streamValues } from "../../../live/stream-values.ts";

export async function GET(request: Request): Promise<Response> {
  return await streamValues(
    request,
    (client, options) => client.watchAll(options),
    (views) => ({ data: seenNow(views.map(toLiveInstance)) }),
  );
}
