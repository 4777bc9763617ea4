import { z } from "zod";

import { type Context, requireUser } from "../context.ts";
import { getInstance } from "./get-instance.ts";
import type { LogWindow } from "./instance-feed.ts";
import {
  isBehind,
  logLineId,
  type LogLineView,
  type LogPosition,
  logStart,
  parseLogLineId,
  viewLogLine,
} from "./log-line.ts";

export const FollowLog = z.strictObject({
  id: z.uuid(),
  /** False gives what is kept and ends there. */
  follow: z.boolean().default(true),
  /** The `id` of a line: only what came after it is given. A client that reconnects sends it by itself. */
  lastEventId: z.string().regex(logLineId, "is not the id of a line").optional(),
});
export type FollowLog = z.infer<typeof FollowLog>;

/**
 * What the process of one of the caller's instances wrote, without what looks like a secret: first what is kept of it,
 * then each line as it comes, until the instance is over.
 * @throws NotFound (`mcp.notFound`), the same for an instance of somebody else, before anything is given out
 */
export async function followLog(ctx: Context, input: FollowLog): Promise<AsyncIterable<LogLineView>> {
  const { userId } = requireUser(ctx);
  const { id } = await getInstance(ctx, { id: input.id });
  const after = input.lastEventId === undefined ? logStart : parseLogLineId(input.lastEventId);
  return linesAfter(ctx.feed.followLog(userId, id, ctx.signal), after, input.follow);
}

async function* linesAfter(
  windows: AsyncIterable<LogWindow | null>,
  after: LogPosition,
  goOn: boolean,
): AsyncGenerator<LogLineView, void> {
  let last = after;
  for await (const window of windows) {
    if (window === null) return;
    for (const line of window.lines) {
      if (!isBehind(line, last)) continue;
      yield viewLogLine(line, last);
      last = line;
    }
    if (window.isOver || !goOn) return;
  }
}
