import type { LogLineView } from "@minimcp/core";
import { tracked, type TrackedEnvelope } from "@trpc/server";

/** Gives each line its id on the wire, with which a client that was cut off asks for those behind it. */
export async function trackLines(
  opened: Promise<AsyncIterable<LogLineView>>,
): Promise<AsyncIterable<TrackedEnvelope<LogLineView>>> {
  return track(await opened);
}

async function* track(lines: AsyncIterable<LogLineView>): AsyncGenerator<TrackedEnvelope<LogLineView>, void> {
  for await (const line of lines) yield tracked(line.id, line);
}
