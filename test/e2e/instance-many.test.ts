import { afterAll, beforeAll, expect, test } from "vitest";

import { eventually } from "../security/support/eventually.ts";
import { run } from "../support/sql.ts";
import { type Account, createAdmin } from "../support/accounts.ts";
import { mutate, query } from "../support/call.ts";
import { addType, createInstance, findBundle, processesOf, send } from "../support/instances.ts";
import { type Product, startProduct } from "../support/product.ts";
import { makeRuntimeDirectory, type TestRuntime } from "../support/runtime-directory.ts";

let runtime: TestRuntime;
let product: Product;
let user: Account;

beforeAll(async () => {
  runtime = await makeRuntimeDirectory();
  product = await startProduct({ findBundle, environment: { RUNTIME_DIRECTORY: runtime.path } });
  user = await createAdmin(product);
  await addType(product, "plain");
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
  await runtime[Symbol.asyncDispose]();
});

test("30 instances created, called and revoked at once leave 30 receipts and nothing else", async () => {
  const instances = await Promise.all(
    Array.from({ length: 30 }, () => createInstance(product, user, { type: "plain" })),
  );
  // A third is called while it starts, a third is revoked before it is ready, a third is not touched before.
  const revoked = await Promise.all(
    instances.map(async ({ id, ...instance }, index) => {
      if (index % 3 === 0) expect((await send(instance, "ping")).status).toBe(200);
      if (index % 3 === 1) await waitUntilReady(id);
      return (await mutate(product.api.url, "mcp.revoke", { id }, { token: user.token })).data;
    }),
  );
  for (const receipt of revoked) expect(receipt).toMatchObject({ final: true, endReason: "revoked" });
  expect(revoked.reduce((calls, receipt) => calls + receipt.calls, 0)).toBe(10);

  const rows = await run(
    product.database.ownerUrl,
    `select count(*)::int as total,
            count(*) filter (where state = 'ended' and ended_at is not null and lease_until is null)::int as ended
     from instances`,
  );
  expect(rows).toEqual([{ total: 30, ended: 30 }]);
  const events = await run(
    product.database.ownerUrl,
    `select count(*)::int as total, count(distinct resource_id)::int as instances
     from audit.events where action = 'instance.end'`,
  );
  expect(events).toEqual([{ total: 30, instances: 30 }]);
  expect((await Promise.all(instances.map(({ id }) => processesOf(id)))).flat()).toEqual([]);
  expect(await runtime.sockets()).toEqual([]);
  for (const instance of instances) expect((await send(instance, "ping")).status).toBe(401);
  // And the node is as good as new: the uids of the 30 are free again.
  const next = await createInstance(product, user, { type: "plain" });
  expect((await send(next, "ping")).status).toBe(200);
});

async function waitUntilReady(id: string): Promise<void> {
  await eventually(25_000, async () => {
    const { data } = await query(product.api.url, "mcp.get", { id }, { token: user.token });
    return data.state === "ready";
  });
}
