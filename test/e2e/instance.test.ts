import { afterAll, beforeAll, expect, test } from "vitest";

import { type Account, createAdmin, createUser } from "../support/accounts.ts";
import { mutate, query } from "../support/call.ts";
import { callTool } from "../support/instances.ts";
import { type Product, startProduct } from "../support/product.ts";

let product: Product;
let user: Account;

beforeAll(async () => {
  product = await startProduct();
  user = await createUser(product, await createAdmin(product));
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
});

test("a created instance answers, counts, and is gone after revoke", async () => {
  const created = await mutate(
    product.api.url,
    "mcp.create",
    { type: "everything", expirationMinutes: 5 },
    { token: user.token },
  );
  expect(created.status, created.text).toBe(200);
  const { instance, accessToken, endpoint } = created.data;
  expect(accessToken).toMatch(/^mcp_[0-9A-Za-z]{49}$/);
  const answered = await callTool({ endpoint, token: accessToken }, "echo", { message: "hello" });
  const text = await answered.text();
  expect(answered.status, text).toBe(200);
  expect(text).toContain("Echo: hello");
  const seen = await query(product.api.url, "mcp.get", { id: instance.id }, { token: user.token });
  expect(seen.data).toMatchObject({ state: "ready", isolation: { level: "strict" } });
  const revoked = await mutate(product.api.url, "mcp.revoke", { id: instance.id }, { token: user.token });
  expect(revoked.data).toMatchObject({
    final: true,
    endReason: "revoked",
    calls: 1,
    used: { tools: [{ name: "echo", calls: 1 }] },
  });
  const after = await callTool({ endpoint, token: accessToken }, "echo", { message: "hello" });
  expect(after.status).toBe(401);
  expect(await after.json()).toMatchObject({ reason: "revoked" });
});
