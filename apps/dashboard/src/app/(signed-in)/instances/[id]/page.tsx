import type { Metadata } from "next";
import { notFound } from "next/navigation";

import { InstanceDetails } from "../../../../components/instance/instance-details.tsx";
import { Receipt } from "../../../../components/instance/receipt.tsx";
import { ProblemPage } from "../../../../components/problem-page.tsx";
import { isOver, seenNow, toLiveInstance } from "../../../../live/live-instance.ts";
import { loadPage } from "../../../../server/load-page.ts";

export const metadata: Metadata = { title: "Instance" };

interface Address {
  params: Promise<{ id: string }>;
}

export default async function InstancePage({ params }: Address) {
  const { id } = await params;
  const loaded = await loadPage(async (client) => {
    const instance = toLiveInstance(await client.mcp.get.query({ id }));
    return { instance, receipt: isOver(instance) ? await client.mcp.receipt.query({ id }) : null };
  });
  if (!loaded.ok) {
    if (["mcp.notFound", "input.invalid"].includes(loaded.problem.reason)) notFound();
    return <ProblemPage problem={loaded.problem} retryPath={`/instances/${encodeURIComponent(id)}`} />;
  }
  const { instance, receipt } = loaded.value;
  return (
    <InstanceDetails first={seenNow(instance)} hasReceipt={receipt !== null}>
      {receipt && <Receipt receipt={receipt} />}
    </InstanceDetails>
  );
}
