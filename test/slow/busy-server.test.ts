import { expect, test } from "vitest";

import { createAdmin } from "../support/accounts.ts";
import { query } from "../support/call.ts";
import { addType, createInstance, findBundle, processesOf } from "../support/instances.ts";
import { startProduct } from "../support/product.ts";

test("a server that is busy without end is ended by what its type allows, and its owner reads how much that was", async () => {
  await using product = await startProduct({ findBundle });
  const owner = await createAdmin(product);
  await addType(product, "busy", { bundle: "fixture-busy", limits: { cpuCores: 0.2 } });
  const instance = await createInstance(product, owner, { type: "busy" });
  // A minute until it is held down, and one in which it wants more all the same; it stands still for most of that.
  await expect
    .poll(
      async () => (await query(product.api.url, "mcp.get", { id: instance.id }, { token: owner.token })).data,
      { timeout: 200_000, interval: 500 },
    )
    .toMatchObject({
      state: "ended",
      endReason: "cpu",
      failure: expect.stringContaining("It wanted more than its 20 % of a processor for 120 seconds."),
    });
  expect(await processesOf(instance.id)).toEqual([]);
}, 240_000);
