"use client";

import Link from "next/link";

import { isOver, type LiveInstance, type Seen } from "../../live/live-instance.ts";
import { useLive } from "../../live/use-live.ts";
import { useServerNow } from "../../live/use-server-now.ts";
import { LiveTrouble } from "../live-trouble.tsx";
import { buttonStyle } from "../ui/button.tsx";
import { StateBadge } from "./state-badge.tsx";
import { TimeLeft } from "./time-left.tsx";

const mostOver = 10;

export function InstanceList({ first }: { first: Seen<LiveInstance[]> }) {
  const { seen, trouble } = useLive("/api/live", first);
  const nowMs = useServerNow(seen.nowMs);
  const live = seen.value.filter((instance) => !isOver(instance));
  const over = seen.value.filter(isOver).slice(0, mostOver);
  return (
    <div className="grid gap-8">
      <LiveTrouble trouble={trouble} />
      {live.length === 0 ? <NoInstances /> : <Rows name="Live" instances={live} nowMs={nowMs} />}
      {over.length > 0 && <Rows name="Over" instances={over} nowMs={nowMs} />}
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

function Rows({ name, instances, nowMs }: { name: string; instances: LiveInstance[]; nowMs: number }) {
  return (
    <section aria-label={name} className="grid gap-3">
      <h2 className="text-muted text-sm font-medium">{name}</h2>
      <ul className="border-line bg-surface divide-line divide-y rounded-lg border">
        {instances.map((instance) => (
          <Row key={instance.id} instance={instance} nowMs={nowMs} />
        ))}
      </ul>
    </section>
  );
}

function Row({ instance, nowMs }: { instance: LiveInstance; nowMs: number }) {
  const title = instance.label ?? instance.type;
  return (
    <li className="hover:bg-sunken relative grid grid-cols-2 items-center gap-x-4 gap-y-2 px-4 py-3 first:rounded-t-lg last:rounded-b-lg sm:grid-cols-[minmax(0,1fr)_9rem_7rem_6rem_5rem] sm:px-5">
      <div className="col-span-2 min-w-0 sm:col-span-1">
        {/* The whole row leads there; the link's own area is stretched over it. */}
        <Link
          href={`/instances/${instance.id}`}
          className="block truncate font-medium after:absolute after:inset-0 after:rounded-[inherit]"
        >
          {title}
        </Link>
        <p className="text-muted truncate text-sm">{instance.type}</p>
      </div>
      <div>
        <StateBadge instance={instance} />
      </div>
      <Fact name="Time left">
        {isOver(instance) ? "over" : <TimeLeft expiresAtMs={instance.expiresAtMs} nowMs={nowMs} />}
      </Fact>
      <Fact name="Isolation">{instance.isolation?.level ?? "not yet"}</Fact>
      <Fact name="Calls">
        <span className="tabular-nums">{instance.calls}</span>
      </Fact>
    </li>
  );
}

function Fact({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div className="text-sm">
      <span className="text-muted block text-xs">{name}</span>
      {children}
    </div>
  );
}
