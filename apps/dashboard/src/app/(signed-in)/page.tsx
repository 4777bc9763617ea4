import type { Metadata } from "next";
import Link from "next/link";

import { InstanceList } from "../../components/instance/instance-list.tsx";
import { ProblemPage } from "../../components/problem-page.tsx";
import { buttonStyle } from "../../components/ui/button.tsx";
import { toLiveInstance } from "../../live/live-instance.ts";
import { loadPage } from "../../server/load-page.ts";

export const metadata: Metadata = { title: "Instances" };

export default async function HomePage() {
  const loaded = await loadPage((client) => client.mcp.list.query());
  if (!loaded.ok) return <ProblemPage problem={loaded.problem} retryPath="/" />;
  return (
    <div className="grid gap-6">
      <div className="flex flex-wrap items-center justify-between gap-3">
        <h1 className="text-2xl font-semibold tracking-tight">Instances</h1>
        <Link href="/instances/new" className={buttonStyle({ look: "primary" })}>
          New instance
        </Link>
      </div>
      <InstanceList first={{ nowMs: Date.now(), value: loaded.value.items.map(toLiveInstance) }} />
    </div>
  );
}
