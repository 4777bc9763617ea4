/**
 * The attack: an instance takes whatever it can get of its node, and so from its neighbours and from the control plane.
 * How much slower they become is a measurement: `pnpm bench neighbours`.
 */
import { afterAll, beforeAll, expect, test } from "vitest";

import { type Account, createAdmin } from "../support/accounts.ts";
import { query } from "../support/call.ts";
import { addType, callTool, createInstance, echo, findBundle, type Instance } from "../support/instances.ts";
import { type Product, startProduct } from "../support/product.ts";

let product: Product;
let owner: Account;
let bomber: Instance;
let neighbour: Instance;

beforeAll(async () => {
  product = await startProduct({ findBundle });
  owner = await createAdmin(product);
  await addType(product, "hostile", { bundle: "hostile" });
  [bomber, neighbour] = await Promise.all([
    createInstance(product, owner, { type: "hostile" }),
    createInstance(product, owner),
  ]);
  await echo(neighbour);
});

afterAll(() => product[Symbol.asyncDispose]());

/** While an attack is at work, the API and another instance answer. */
async function expectServiceDuring(bomb: string, refused: string): Promise<void> {
  const over = new AbortController();
  const bombing = callTool(bomber, bomb).finally(() => over.abort());
  do {
    // It throws without an answer.
    await echo(neighbour);
    const { status } = await query(product.api.url, "mcp.list", {}, { token: owner.token });
    expect(status).toBe(200);
  } while (!over.signal.aborted);
  expect(await (await bombing).text()).toContain(refused);
}

test("RES-2: while a fork bomb is at work, the API and another instance go on answering", () =>
  expectServiceDuring("forkBomb", "EAGAIN"));

test("RES-5: while one opens five thousand files, the API and another instance go on answering", () =>
  expectServiceDuring("descriptorBomb", "EMFILE"));
