import { toLogLine } from "../../../../../live/log-line.ts";
import { streamValues } from "../../../../../live/stream-values.ts";

interface Address {
  params: Promise<{ id: string }>;
}

export async function GET(request: Request, { params }: Address): Promise<Response> {
  const { id } = await params;
  // The header is of a browser that came again by itself, and so behind what the page asked for at first.
  const after =
    request.headers.get("last-event-id") ?? new URL(request.url).searchParams.get("after") ?? undefined;
  return await streamValues(
    request,
    (client, options) => client.logs({ id }, { ...options, after }),
    (line) => ({ id: line.id, data: toLogLine(line) }),
  );
}
