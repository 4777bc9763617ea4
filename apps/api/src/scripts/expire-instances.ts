import { Command } from "commander";

import { findUser } from "./support/find-user.ts";
import { runScript } from "./support/run-script.ts";

const command = new Command("expire-instances")
  .description(
    "Ends every live instance of one user, with its token, process and connections. The user can create new ones.",
  )
  .requiredOption("--email <address>", "whose instances")
  .option("--dry-run", "only say which");

await runScript(command, async (script) => {
  const { email, dryRun } = command.opts<{ email: string; dryRun?: true }>();
  const user = await findUser(script, email);
  const caller = script.actingFor(user);
  const live = [];
  let cursor: string | undefined;
  do {
    const page = await caller.mcp.list({ live: true, limit: 200, cursor });
    live.push(...page.items);
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined);

  for (const { id, type, label, expiresAt } of live) {
    // Ended by the product, so that the audit trail does not say the user did it.
    if (dryRun === undefined) await script.asProduct.admin.instances.terminate({ id });
    const what = dryRun === undefined ? "ended" : "would end";
    script.print(`${what} ${id}  ${type}  ${label ?? "-"}  (until ${expiresAt.toISOString()})\n`);
  }
  if (live.length === 0) script.print(`${user.email} has no live instances.\n`);
});
