import { seenNow, toLiveInstance } from "../../../../../live/live-instance.ts";
import { streamValues } from "../../../../../live/stream-values.ts";

interface Address {
  params: Promise<{ id: string }>;
}

export async function GET(request: Request, { params }: Address): Promise<Response> {
  const { id } = await params;
  return await streamValues(
    request,
    (client, options) => client.watch({ id }, options),
    (view) => ({ data: seenNow(toLiveInstance(view)) }),
  );
}
