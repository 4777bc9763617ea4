import { randomUUID } from "node:crypto";

import {
  claimInstances,
  createVault,
  KeyReleaseError,
  type NodeIdentity,
  openInstanceKey,
  parseKeyring,
  registerNode,
  releaseLeases,
} from "@minimcp/core";
import { type Database, DatabaseQueryFailed, openDatabase } from "@minimcp/db";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { type Account, createAdmin, createUser } from "../support/accounts.ts";
import { mutate, query } from "../support/call.ts";
import { addType, createInstance, moveDeadline } from "../support/instances.ts";
import { type Product, startProduct, testMasterKey } from "../support/product.ts";
import { addIdleNode } from "./support/idle-node.ts";
import { dump, findSecret, run } from "../support/sql.ts";

// The attack: somebody who can speak as a worker, or who has changed what is stored, wants an API key opened that is
// not to be opened now: of an instance that another node holds, that is over, or whose key its owner has deleted.

const vault = createVault(parseKeyring(testMasterKey));
const node: NodeIdentity = { nodeId: randomUUID(), epoch: randomUUID() };

let product: Product;
let db: Database;
let ada: Account;

beforeAll(async () => {
  product = await startProduct({ worker: false });
  db = openDatabase({ url: product.database.workerUrl, applicationName: "key release" });
  ada = await createUser(product, await createAdmin(product));
  await addType(product, "keyed", { provider: "github" });
  await addIdleNode(product.database.ownerUrl);
  await registerNode(db, node, {
    address: "http://127.0.0.1:1",
    isolation: { level: "none", parts: {} },
    capacity: 100,
  });
});

afterAll(async () => {
  await db[Symbol.asyncDispose]();
  await product[Symbol.asyncDispose]();
});

interface Held {
  lease: { instanceId: string; fence: number };
  keyId: string;
  secret: string;
}

/** An instance with a key of its own, held by the node of the test. */
async function hold(): Promise<Held> {
  const secret = `ghp_${randomUUID()}`;
  const { data } = await mutate(
    product.api.url,
    "apiKey.create",
    { provider: "github", label: randomUUID(), secret },
    { token: ada.token },
  );
  const { id } = await createInstance(product, ada, { type: "keyed", apiKeyId: data.id });
  const claimed = (await claimInstances(db, node, 50)).find(({ instanceId }) => instanceId === id);
  if (claimed === undefined) throw new Error("the instance was there to be claimed");
  return { lease: { instanceId: id, fence: claimed.fence }, keyId: data.id, secret };
}

async function usesOf(keyId: string): Promise<unknown[]> {
  return await run(
    product.database.ownerUrl,
    `select result, error_message, new_value from audit.events
     where action = 'apiKey.use' and resource_id = $1 order by "timestamp"`,
    [keyId],
  );
}

async function expectNotHeld({ lease, keyId }: Held, as: NodeIdentity = node): Promise<void> {
  const before = await usesOf(keyId);
  const refused = openInstanceKey(db, as, lease, vault);
  await expect(refused).rejects.toThrow(KeyReleaseError);
  await expect(refused).rejects.toMatchObject({ reason: "notHeld" });
  expect(await usesOf(keyId)).toEqual(before);
}

test("the node that holds an instance gets its key, which leaves one audit event a claim, and no value anywhere", async () => {
  const held = await hold();
  const { lease, keyId, secret } = held;
  for (let use = 0; use < 3; use += 1) {
    const opened = await openInstanceKey(db, node, lease, vault);
    expect(opened.toString()).toBe(secret);
    opened.fill(0);
  }
  const event = { result: "success", error_message: null, new_value: lease };
  expect(await usesOf(keyId)).toEqual([event]);
  const view = await query(product.api.url, "apiKey.get", { id: keyId }, { token: ada.token });
  expect(Math.abs(view.data.lastUsedAt.getTime() - Date.now())).toBeLessThan(30_000);
  await releaseLeases(db, node, [lease.instanceId]);
  const again = (await claimInstances(db, node, 50)).find(
    ({ instanceId }) => instanceId === lease.instanceId,
  );
  if (again === undefined) throw new Error("it had been let go of");
  const next = { instanceId: again.instanceId, fence: again.fence };
  await openInstanceKey(db, node, next, vault);
  expect(await usesOf(keyId)).toEqual([event, { ...event, new_value: next }]);
  await expectNotHeld(held);
  expect(findSecret(await dump(product.database.ownerUrl), secret)).toEqual([]);
});

describe("nobody gets the key of an instance", () => {
  test("that another node holds, or another life of this one, or under another claim", async () => {
    const held = await hold();
    await expectNotHeld(held, { ...node, nodeId: randomUUID() });
    await expectNotHeld(held, { ...node, epoch: randomUUID() });
    for (const fence of [held.lease.fence - 1, held.lease.fence + 1]) {
      await expectNotHeld({ ...held, lease: { ...held.lease, fence } });
    }
  });

  test("whose lease has run out, although nobody has claimed it yet", async () => {
    const held = await hold();
    await run(
      product.database.ownerUrl,
      "update instances set lease_until = now() - interval '1 ms' where id = $1",
      [held.lease.instanceId],
    );
    await expectNotHeld(held);
  });

  test("that is past its deadline, although nobody has ended it yet", async () => {
    const held = await hold();
    await moveDeadline(product, held.lease.instanceId, 0);
    await expectNotHeld(held);
  });

  test("that was revoked, although its process still runs", async () => {
    const held = await hold();
    await mutate(product.api.url, "mcp.revoke", { id: held.lease.instanceId }, { token: ada.token });
    await expectNotHeld(held);
  });

  test("once the key was deleted, also when both are asked for at once", async () => {
    for (let round = 0; round < 6; round += 1) {
      const held = await hold();
      const [opened, deleted] = await Promise.all([
        openInstanceKey(db, node, held.lease, vault).then(String, (error: unknown) => error),
        mutate(product.api.url, "apiKey.delete", { id: held.keyId }, { token: ada.token }),
      ]);
      expect(deleted.status, deleted.text).toBe(200);
      if (opened !== held.secret) expect(opened).toMatchObject({ reason: "notHeld" });
      await expectNotHeld(held);
    }
  });

  test("that has none", async () => {
    const { id } = await createInstance(product, ada);
    await claimInstances(db, node, 50);
    const refused = openInstanceKey(db, node, { instanceId: id, fence: 1 }, vault);
    await expect(refused).rejects.toMatchObject({ reason: "notHeld" });
  });

  test("as the API, which holds the same master key", async () => {
    const { lease } = await hold();
    await using api = openDatabase({ url: product.database.apiUrl, applicationName: "key release" });
    const refused = openInstanceKey(api, node, lease, vault);
    await expect(refused).rejects.toThrow(DatabaseQueryFailed);
    await expect(refused).rejects.toMatchObject({ code: "42501" });
  });
});

describe("a stored key that was changed", () => {
  /** version, algorithm, key id, salt, nonce, commitment, ciphertext */
  const bytes = [0, 1, 2, 20, 52, 63, 97];

  test("does not open, whichever byte it was, always with the same words; the others open", async () => {
    const [damaged, whole] = [await hold(), await hold()];
    const flip = (offset: number) =>
      run(
        product.database.ownerUrl,
        "update api_keys set sealed = set_byte(sealed, $2, get_byte(sealed, $2) # 1) where id = $1",
        [damaged.keyId, offset],
      );
    const messages = new Set<string>();
    for (const offset of bytes) {
      await flip(offset);
      const refused: unknown = await openInstanceKey(db, node, damaged.lease, vault).catch(
        (error: unknown) => error,
      );
      expect(refused).toMatchObject({ reason: "damaged" });
      messages.add((refused as Error).message);
      await flip(offset);
    }
    expect([...messages]).toEqual([
      "Its API key cannot be opened. Store the key again, and create a new instance with it.",
    ]);
    expect(await usesOf(damaged.keyId)).toEqual([
      { result: "failure", error_message: "vault.openFailed", new_value: damaged.lease },
    ]);
    expect((await openInstanceKey(db, node, whole.lease, vault)).toString()).toBe(whole.secret);
  });

  test("does not open in the place of another one of the same owner, or under a changed data key", async () => {
    const [one, other] = [await hold(), await hold()];
    await run(
      product.database.ownerUrl,
      "update api_keys set sealed = (select sealed from api_keys where id = $2) where id = $1",
      [one.keyId, other.keyId],
    );
    await expect(openInstanceKey(db, node, one.lease, vault)).rejects.toMatchObject({ reason: "damaged" });
    await run(
      product.database.ownerUrl,
      "update user_data_keys set wrapped = set_byte(wrapped, 100, get_byte(wrapped, 100) # 1)",
    );
    await expect(openInstanceKey(db, node, other.lease, vault)).rejects.toMatchObject({ reason: "damaged" });
  });
});
