import { type Context, requireUser } from "../context.ts";
import type { InstanceView } from "./instance-view.ts";

/**
 * The caller's instances that are not over, newest first and at most 200, as they are, and again whenever one has
 * changed, come or gone. Always the whole list, so that nobody has to put pieces together after an interruption.
 */
export function watchInstances(ctx: Context): AsyncIterable<InstanceView[]> {
  return ctx.feed.followInstances(requireUser(ctx).userId, ctx.signal);
}
