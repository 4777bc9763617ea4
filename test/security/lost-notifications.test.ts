import { expect, test } from "vitest";

// @boundaries-ignore It stands in front of a database, and db's tests need it as much.
import { openSocketRelay } from "../../packages/db/test/support/socket-relay.ts";
import { createAdmin } from "../support/accounts.ts";
import { createTestDatabase } from "../support/database.ts";
import { makeDeployment } from "../support/deployment.ts";
import { createInstance, echo, send } from "../support/instances.ts";
import { run } from "../support/sql.ts";

// The attack: whoever holds a token that was just revoked keeps the node from hearing of it. What a node remembers of a
// token must not outlive its proof that it has heard of every revoke.

test("a worker that cannot listen to the database trusts no token that it remembers", async () => {
  await using database = await createTestDatabase();
  await using relay = await openSocketRelay(database.workerUrl);
  relay.cutAfter('listen "minimcp_instance"');
  await using deployment = await makeDeployment({ ...database, workerUrl: relay.url });
  await deployment.startWorker();
  const product = { api: await deployment.startApi(), database };
  const instance = await createInstance(product, await createAdmin(product));
  await echo(instance);
  await echo(instance);

  // Of the token alone: nothing about the instance tells the worker in its next round.
  await run(database.ownerUrl, "update instance_tokens set revoked_at = now() where instance_id = $1", [
    instance.id,
  ]);
  const refused = await send(instance, "tools/list");
  expect(refused.status).toBe(401);
  expect(await refused.json()).toMatchObject({ reason: "revoked" });
});
