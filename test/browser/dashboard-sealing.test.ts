import { afterAll, beforeAll, expect, test } from "vitest";

import { type Account, createAdmin, password } from "../support/accounts.ts";
import { startDashboard } from "../support/dashboard.ts";
import { type Product, startProduct } from "../support/product.ts";

/*
 * The attack: a sealing key leaked, and whoever has it seals cookies. A new key must take its place without signing
 * anybody out, and the old one must open nothing once it is gone.
 */

const older = "a1".repeat(32);
const newer = "b2".repeat(32);

let product: Product;
let owner: Account;

beforeAll(async () => {
  product = await startProduct({ worker: false });
  owner = await createAdmin(product);
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
});

async function signIn(url: string): Promise<string> {
  const response = await fetch(`${url}/api/session`, {
    method: "POST",
    headers: { "content-type": "application/json", "sec-fetch-site": "same-origin" },
    body: JSON.stringify({ email: owner.email, password }),
  });
  return response.headers.getSetCookie()[0]?.split(";")[0] ?? "";
}

/** Whether a page is shown for a cookie, and not the way to the sign-in page. */
async function opens(url: string, cookie: string): Promise<boolean> {
  const { status } = await fetch(`${url}/keys`, { headers: { cookie }, redirect: "manual" });
  return status === 200;
}

test("cookies of a former sealing key are good until it is gone, and new ones use the new key", async () => {
  const apiUrl = product.api.url;
  let formerCookie: string;
  {
    await using before = await startDashboard({ apiUrl, sessionSecret: older });
    formerCookie = await signIn(before.url);
    expect(formerCookie).toContain("Fe26.2*1*");
    expect(await opens(before.url, formerCookie)).toBe(true);
  }
  {
    await using during = await startDashboard({ apiUrl, sessionSecret: `2:${newer},1:${older}` });
    expect(await opens(during.url, formerCookie)).toBe(true);
    const cookie = await signIn(during.url);
    expect(cookie).toContain("Fe26.2*2*");
    expect(await opens(during.url, cookie)).toBe(true);
  }
  await using after = await startDashboard({ apiUrl, sessionSecret: `2:${newer}` });
  expect(await opens(after.url, formerCookie)).toBe(false);
  expect(await opens(after.url, await signIn(after.url))).toBe(true);
});
