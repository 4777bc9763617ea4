"use client";

import Link from "next/link";

import type { LiveInstance, Seen } from "../../live/live-instance.ts";
import { useLive } from "../../live/use-live.ts";
import { useServerNow } from "../../live/use-server-now.ts";
import { LiveTrouble } from "../live-trouble.tsx";
import { buttonStyle } from "../ui/button.tsx";
import { InstanceRows } from "./instance-rows.tsx";

export function LiveInstances({ first }: { first: Seen<LiveInstance[]> }) {
  const { seen, trouble } = useLive("/api/live", first);
  const nowMs = useServerNow(seen.nowMs);
  return (
    <div className="grid grid-cols-[minmax(0,1fr)] gap-4">
      <LiveTrouble trouble={trouble} />
      {seen.value.length === 0 ? (
        <NoInstances />
      ) : (
        <InstanceRows name="Live instances" instances={seen.value} nowMs={nowMs} />
      )}
    </div>
  );
}

function NoInstances() {
  return (
    <div className="border-strong-line grid justify-items-center gap-4 rounded-lg border border-dashed px-6 py-14 text-center">
      <h2 className="text-lg font-semibold">Nothing is running</h2>
      <p className="text-muted max-w-md text-sm">
        An instance is an MCP endpoint for one of your AI clients. It lives for the time you choose, in a
        sandbox of its own, and the client never sees your API key.
      </p>
      <Link href="/instances/new" className={buttonStyle({ look: "primary" })}>
        Create an instance
      </Link>
    </div>
  );
}
