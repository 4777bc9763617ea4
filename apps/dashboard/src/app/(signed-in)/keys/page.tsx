import type { Metadata } from "next";

import { KeyForm } from "../../../components/keys/key-form.tsx";
import { KeyList } from "../../../components/keys/key-list.tsx";
import { ProblemPage } from "../../../components/problem-page.tsx";
import { loadPage } from "../../../server/load-page.ts";

export const metadata: Metadata = { title: "Keys" };

export default async function KeysPage() {
  const loaded = await loadPage((client) => client.apiKey.list.query());
  if (!loaded.ok) return <ProblemPage problem={loaded.problem} retryPath="/keys" />;
  return (
    <div className="grid gap-6">
      <div>
        <h1 className="text-2xl font-semibold tracking-tight">Keys</h1>
        <p className="text-muted mt-1 text-sm">
          Your API keys of other services. They are stored encrypted; no MCP client and no MCP server ever
          sees them.
        </p>
      </div>
      <KeyList keys={loaded.value.items} />
      <KeyForm />
    </div>
  );
}
