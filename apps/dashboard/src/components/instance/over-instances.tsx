import Link from "next/link";

import type { LiveInstance } from "../../live/live-instance.ts";
import { EmptyList } from "../empty-list.tsx";
import { buttonStyle } from "../ui/button.tsx";
import { InstanceRows } from "./instance-rows.tsx";

interface OverInstancesProps {
  instances: LiveInstance[];
  /** Whether nothing newer is before them. */
  isFirst: boolean;
  nextCursor: string | null;
}

/** One page of what is over. It changes no more, so nothing is followed here. */
export function OverInstances({ instances, isFirst, nextCursor }: OverInstancesProps) {
  if (instances.length === 0) return <EmptyList>Nothing is over yet.</EmptyList>;
  return (
    <div className="grid grid-cols-[minmax(0,1fr)] gap-4">
      <InstanceRows name="Instances that are over" instances={instances} nowMs={0} />
      <nav aria-label="Pages" className="flex flex-wrap justify-between gap-3 empty:hidden">
        {!isFirst && (
          <Link href="/?show=over" className={buttonStyle()}>
            Newest
          </Link>
        )}
        {nextCursor !== null && (
          <Link
            href={`/?show=over&before=${encodeURIComponent(nextCursor)}`}
            className={buttonStyle({ className: "ml-auto" })}
          >
            Older
          </Link>
        )}
      </nav>
    </div>
  );
}
