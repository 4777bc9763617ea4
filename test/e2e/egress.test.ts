import { afterAll, beforeAll, expect, test } from "vitest";

// @boundaries-ignore What the broker's own tests have for an upstream.
import { openUpstream, type Upstream } from "../../packages/gateway/test/egress-harness.ts";
import { type Account, createAdmin } from "../support/accounts.ts";
import { mutate, query } from "../support/call.ts";
import { addType, callTool, createInstance, findBundle, type Instance } from "../support/instances.ts";
import { type Product, startProduct } from "../support/product.ts";
import { dump, findSecret, run } from "../support/sql.ts";

// A key travels from its owner to the upstream, and to nobody on the way: the child, which makes the call, has a socket.
const canary = "ghp_canary0123456789abcdefghijklmnopqrs";
const host = "api.github.test";

let upstream: Upstream;
let product: Product;
let owner: Account;
let apiKeyId: string;
const authorizations: (string | undefined)[] = [];

beforeAll(async () => {
  upstream = await openUpstream((request, response) => {
    authorizations.push(request.headers.authorization);
    response.end(`hello ${request.url}`);
  });
  const { port, certificateAuthority } = upstream;
  product = await startProduct({ findBundle, loopbackUpstreams: { [host]: { port, certificateAuthority } } });
  owner = await createAdmin(product);
  const egress = [{ host, port: 443, methods: ["GET"], pathPrefixes: ["/repos"] }];
  const credential = {
    provider: "github",
    requirement: "Any key of the tests.",
    inject: { scheme: "bearer", hosts: [host] },
    placeholder: null,
  };
  await addType(product, "own", { egress, credential });
  const placeholder = {
    form: { prefix: "ghp_", length: 40 },
    env: ["GITHUB_TOKEN"],
    files: [{ env: "GITHUB_FILE", path: "github.json", content: '{"token":"{{placeholder}}"}' }],
  };
  await addType(product, "foreign", { egress, credential: { ...credential, placeholder } });
  const key = { provider: "github", label: "work", secret: canary };
  apiKeyId = (await mutate(product.api.url, "apiKey.create", key, { token: owner.token })).data.id;
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
  await upstream[Symbol.asyncDispose]();
});

async function create(type: "own" | "foreign" = "own"): Promise<Instance> {
  return await createInstance(product, owner, { type, apiKeyId });
}

async function reach(instance: Instance, request: object): Promise<{ status: number; text: string }> {
  const answer = await callTool(instance, "reach", request);
  return ((await answer.json()) as { result: { status: number; text: string } }).result;
}

test("a server that holds nothing reaches its upstream with the key", async () => {
  const instance = await create();
  const seen = await (await callTool(instance, "look")).text();
  expect(seen).not.toContain("GITHUB_TOKEN");
  expect(seen).not.toContain(canary);
  authorizations.length = 0;
  expect(await reach(instance, { host, path: "/repos/a" })).toEqual({ status: 200, text: "hello /repos/a" });
  expect(authorizations).toEqual([`Bearer ${canary}`]);
  expect(findSecret(await dump(product.database.ownerUrl), canary)).toEqual([]);
});

test("a server that insists on a key has a placeholder, which becomes the key outside", async () => {
  const instance = await create("foreign");
  const seen = (await (await callTool(instance, "look")).json()) as { result: { environment: object } };
  expect(seen.result.environment).toMatchObject({
    GITHUB_TOKEN: expect.stringMatching(/^ghp_[0-9A-Za-z]{36}$/),
    GITHUB_FILE: expect.stringMatching(/github\.json$/),
  });
  expect(JSON.stringify(seen)).not.toContain(canary);
  authorizations.length = 0;
  expect((await reach(instance, { host, path: "/repos/b" })).status).toBe(200);
  expect(authorizations).toEqual([`Bearer ${canary}`]);
});

test("what the type does not admit is denied in words, and counted on the receipt", async () => {
  const instance = await create();
  const denied = await reach(instance, { host: "evil.example", path: "/repos" });
  expect(denied.status).toBe(403);
  expect(denied.text).toContain("egress.denied");
  expect((await reach(instance, { host, path: "/user" })).status).toBe(403);
  expect((await reach(instance, { host, path: "/repos/b" })).status).toBe(200);

  const { data } = await mutate(product.api.url, "mcp.revoke", { id: instance.id }, { token: owner.token });
  expect(data.used.hosts).toContainEqual(expect.objectContaining({ host, requests: 1, denied: 1 }));
  expect(data.used.hosts).toContainEqual(
    expect.objectContaining({ host: "evil.example", requests: 0, denied: 1 }),
  );
});

test("a key that was damaged at rest ends its instance as failed, with what to do, and no other", async () => {
  const other = await create();
  const secret = "ghp_0123456789abcdefghijklmnop";
  const damaged = (
    await mutate(
      product.api.url,
      "apiKey.create",
      { provider: "github", label: "damaged", secret },
      { token: owner.token },
    )
  ).data.id;
  const instance = await createInstance(product, owner, { type: "own", apiKeyId: damaged });
  await run(
    product.database.ownerUrl,
    "update api_keys set sealed = set_byte(sealed, length(sealed) - 1, get_byte(sealed, length(sealed) - 1) # 1) where id = $1",
    [damaged],
  );
  await callTool(instance, "reach", { host, path: "/repos" });
  await expect
    .poll(
      async () => (await query(product.api.url, "mcp.get", { id: instance.id }, { token: owner.token })).data,
      {
        timeout: 15_000,
      },
    )
    .toMatchObject({ state: "failed", failure: expect.stringContaining("Store the key again") });
  expect((await reach(other, { host, path: "/repos/c" })).status).toBe(200);
});
