import type { Metadata } from "next";

import { NewInstance } from "../../../../components/instance/new-instance.tsx";
import { ProblemPage } from "../../../../components/problem-page.tsx";
import { loadPage } from "../../../../server/load-page.ts";

export const metadata: Metadata = { title: "New instance" };

export default async function NewInstancePage() {
  const loaded = await loadPage((client) =>
    Promise.all([client.mcp.types.query(), client.apiKey.list.query()]),
  );
  if (!loaded.ok) return <ProblemPage problem={loaded.problem} retryPath="/instances/new" />;
  const [types, keys] = loaded.value;
  return (
    <NewInstance
      types={types.items}
      keys={keys.items.map(({ id, provider, label }) => ({ id, provider, label }))}
      isolation={types.isolation?.level ?? null}
    />
  );
}
