import { type Context, requireUser } from "../context.ts";
import { getInstance, type InstanceId } from "./get-instance.ts";
import { isOver, type InstanceView } from "./instance-view.ts";

/**
 * One of the caller's instances as it is, and again at each change of its state, its deadline or its count of calls,
 * until it is over.
 * @throws NotFound (`mcp.notFound`), the same for an instance of somebody else, before anything is given out
 */
export async function watchInstance(ctx: Context, input: InstanceId): Promise<AsyncIterable<InstanceView>> {
  const { userId } = requireUser(ctx);
  const { id } = await getInstance(ctx, input);
  return untilOver(ctx.feed.followInstance(userId, id, ctx.signal));
}

async function* untilOver(views: AsyncIterable<InstanceView | null>): AsyncGenerator<InstanceView, void> {
  for await (const view of views) {
    if (view === null) return;
    yield view;
    if (isOver(view)) return;
  }
}
