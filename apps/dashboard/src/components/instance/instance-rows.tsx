import Link from "next/link";
import type { ReactNode } from "react";

import { isOver, type LiveInstance } from "../../live/live-instance.ts";
import { LocalTime } from "../local-time.tsx";
import { StateBadge } from "./state-badge.tsx";
import { TimeLeft } from "./time-left.tsx";

interface InstanceRowsProps {
  name: string;
  instances: LiveInstance[];
  nowMs: number;
}

export function InstanceRows({ name, instances, nowMs }: InstanceRowsProps) {
  return (
    <ul aria-label={name} className="border-line bg-surface divide-line divide-y rounded-lg border">
      {instances.map((instance) => (
        <Row key={instance.id} instance={instance} nowMs={nowMs} />
      ))}
    </ul>
  );
}

function Row({ instance, nowMs }: { instance: LiveInstance; nowMs: number }) {
  const title = instance.label ?? instance.type;
  return (
    <li className="hover:bg-sunken relative grid grid-cols-2 items-center gap-x-4 gap-y-2 px-4 py-3 first:rounded-t-lg last:rounded-b-lg sm:grid-cols-[minmax(0,1fr)_9rem_9rem_6rem_4rem] sm:px-5">
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
      {isOver(instance) ? (
        <Fact name="Ended">
          <LocalTime ms={instance.endedAtMs ?? instance.expiresAtMs} />
        </Fact>
      ) : (
        <Fact name="Time left">
          <TimeLeft expiresAtMs={instance.expiresAtMs} nowMs={nowMs} />
        </Fact>
      )}
      <Fact name="Isolation">{instance.isolation?.level ?? "not yet"}</Fact>
      <Fact name="Calls">
        <span className="tabular-nums">{instance.calls}</span>
      </Fact>
    </li>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="text-sm">
      <span className="text-muted block text-xs">{name}</span>
      {children}
    </div>
  );
}
