import { expect, test } from "vitest";

import { createAdmin } from "../support/accounts.ts";
import { query } from "../support/call.ts";
import { addType, createInstance, findBundle, processesOf, send } from "../support/instances.ts";
import { startProduct } from "../support/product.ts";

test("a server that lives and never answers is started five times, and then has failed with a sentence", async () => {
  await using product = await startProduct({ findBundle });
  const owner = await createAdmin(product);
  await addType(product, "silent", { bundle: "fixture-silent" });
  const instance = await createInstance(product, owner, { type: "silent" });
  const call = await send(instance, "ping");
  expect(call.status).toBe(503);
  expect(await call.json()).toMatchObject({ reason: "starting" });
  // Five times ten seconds, and the pauses of 1 + 2 + 4 + 8 between them.
  await expect
    .poll(
      async () => (await query(product.api.url, "mcp.get", { id: instance.id }, { token: owner.token })).data,
      {
        timeout: 80_000,
        interval: 500,
      },
    )
    .toMatchObject({ state: "failed", failure: "It did not answer in time after its start." });
  expect(await processesOf(instance.id)).toEqual([]);
  expect(await (await send(instance, "ping")).json()).toMatchObject({ reason: "failed" });
}, 120_000);
