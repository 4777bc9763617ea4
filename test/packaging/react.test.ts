import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

import { type Account, createAdmin, password } from "../support/accounts.ts";
import { type Product, startProduct } from "../support/product.ts";
import {
  compilerOptions,
  type Consumer,
  createConsumer,
  rootBin,
  run,
  runOrFail,
} from "./support/consumer.ts";
import { readReactRecipe } from "./support/recipe.ts";

/** Renders the recipe's page to the end, which waits for what it reads, before and after something changes. */
const program = `
import { isReason } from "@minimcp/client";
import { useSubscription } from "@minimcp/client/react";
import { MutationObserver } from "@tanstack/react-query";
import { createElement } from "react";
import { prerender } from "react-dom/static";

import { App } from "./app.js";
import { client, minimcp, queryClient } from "./minimcp.js";

export function useState(id: string): string | undefined {
  return useSubscription(minimcp.mcp.watch.subscriptionOptions({ id })).data?.state;
}

async function show() {
  const { prelude } = await prerender(createElement(App));
  console.log((await new Response(prelude).text()).replaceAll("<!-- -->", "").replaceAll("\\n", ""));
}

const [email = "", password = ""] = process.argv.slice(2);
await client.auth.signIn.mutate({ email, password });
await show();

const key = { provider: "github", label: "work", secret: "ghp_0123456789abcdef" } as const;
const add = new MutationObserver(queryClient, minimcp.apiKey.create.mutationOptions());
const { createdAt } = await add.mutate(key);
console.log(createdAt instanceof Date);
await queryClient.refetchQueries(minimcp.apiKey.pathFilter());
await show();

await add.mutate(key).catch((error: unknown) => console.log(isReason(error, "apiKey.labelTaken")));
const pages = minimcp.mcp.list.infiniteQueryOptions({ limit: 1 }, { getNextPageParam: (page) => page.nextCursor });
console.log((await queryClient.fetchInfiniteQuery(pages)).pages.length);
await queryClient
  .fetchQuery({ ...minimcp.mcp.get.queryOptions({ id: crypto.randomUUID() }), retry: false })
  .catch((error: unknown) => console.log(isReason(error, "mcp.notFound")));
`;

vi.setConfig({ testTimeout: 120_000 });

let product: Product;
let account: Account;
let consumer: Consumer;

beforeAll(async () => {
  product = await startProduct({ worker: false });
  account = await createAdmin(product);
  const react = ["react", "@types/react", "react-dom@19.3.1", "@types/react-dom@19.3.0"];
  consumer = await createConsumer([...react, "@tanstack/react-query", "@types/node"]);
  for (const [path, code] of await readReactRecipe(product.api.url)) await consumer.write(path, code);
  await consumer.write("src/program.ts", program);
  await consumer.write(
    "tsconfig.json",
    JSON.stringify({
      compilerOptions: {
        ...compilerOptions,
        jsx: "react-jsx",
        types: ["node"],
        rootDir: "src",
        outDir: "compiled",
      },
      include: ["src"],
    }),
  );
}, 240_000);

afterAll(async () => {
  await consumer[Symbol.asyncDispose]();
  await product[Symbol.asyncDispose]();
});

describe("the documented recipe for React", () => {
  it("compiles strictly, without a cast, against the packed types", async () => {
    expect(await run(join(rootBin, "tsc"), ["-p", "."], consumer.path())).toMatchObject({ succeeded: true });
    for (const code of (await readReactRecipe("")).values()) expect(code).not.toMatch(/ as (?!const)/);
  });

  it("shows what the API answers, and its changes", async () => {
    await runOrFail(join(rootBin, "tsc"), ["-p", "."], consumer.path());
    const args = ["compiled/program.js", account.email, password];
    const printed = await runOrFail("node", args, consumer.path());
    const [before, isDate, after, ...rest] = printed.trim().split("\n");
    expect(before).toContain("<ul></ul>");
    expect(isDate).toBe("true");
    expect(after).toMatch(/<li>work \(github, …cdef\), since \d{4}-\d\d-\d\dT[\d:.]+Z<\/li>/);
    expect(rest).toEqual(["true", "1", "true"]);
  });
});
