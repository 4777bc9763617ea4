import type { Metadata } from "next";
import Link from "next/link";

import { InstanceFilter } from "../../components/instance/instance-filter.tsx";
import { LiveInstances } from "../../components/instance/live-instances.tsx";
import { OverInstances } from "../../components/instance/over-instances.tsx";
import { ProblemPage } from "../../components/problem-page.tsx";
import { buttonStyle } from "../../components/ui/button.tsx";
import { Usage } from "../../components/usage/usage.tsx";
import { seenNow, toLiveInstance } from "../../live/live-instance.ts";
import { loadPage } from "../../server/load-page.ts";

export const metadata: Metadata = { title: "Instances" };

/** As many as the API's live list has. */
const mostLive = 200;
const overOnOnePage = 25;

interface Address {
  /** `show=over`, and behind which one of those the page begins. */
  searchParams: Promise<{ show?: string | string[]; before?: string | string[] }>;
}

export default async function HomePage({ searchParams }: Address) {
  const { show, before } = await searchParams;
  const isOverPage = show === "over";
  const cursor = typeof before === "string" ? before : undefined;
  const which = isOverPage ? { over: true, limit: overOnOnePage, cursor } : { live: true, limit: mostLive };
  const loaded = await loadPage((client) =>
    Promise.all([client.mcp.list.query(which), client.mcp.usage.query()]),
  );
  if (!loaded.ok) {
    return <ProblemPage problem={loaded.problem} retryPath={isOverPage ? "/?show=over" : "/"} />;
  }
  const [list, usage] = loaded.value;
  const instances = list.items.map(toLiveInstance);
  return (
    <div className="grid grid-cols-[minmax(0,1fr)] gap-6">
      <div className="flex flex-wrap items-center justify-between gap-3">
        <h1 className="text-2xl font-semibold tracking-tight">Instances</h1>
        <Link href="/instances/new" className={buttonStyle({ look: "primary" })}>
          New instance
        </Link>
      </div>
      <InstanceFilter shown={isOverPage ? "over" : "live"} />
      {isOverPage ? (
        <OverInstances instances={instances} isFirst={cursor === undefined} nextCursor={list.nextCursor} />
      ) : (
        <LiveInstances first={seenNow(instances)} />
      )}
      <Usage days={usage.items} />
    </div>
  );
}
