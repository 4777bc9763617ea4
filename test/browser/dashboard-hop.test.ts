import { randomBytes } from "node:crypto";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { type Account, createAdmin, password } from "../support/accounts.ts";
import { type RunningDashboard, startDashboard } from "../support/dashboard.ts";
import { type Product, startProduct } from "../support/product.ts";
import { run } from "../support/sql.ts";

/*
 * The attack: somebody writes another address into the audit trail, or hides behind the dashboard's. A program of the
 * same machine has the dashboard's address, so that alone must prove nothing.
 */

const hopSecret = randomBytes(32).toString("hex");
const browserAddress = "203.0.113.7";
const userAgent = "Mozilla/5.0 (somebody's browser)";

let product: Product;
let owner: Account;

beforeAll(async () => {
  product = await startProduct({ worker: false, environment: { HOP_SECRET: hopSecret } });
  owner = await createAdmin(product);
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
});

async function lastSignIn(): Promise<unknown> {
  const [row] = await run(
    product.database.ownerUrl,
    `select host(ip_address) as "ipAddress", user_agent as "userAgent" from audit.events
     where action = 'auth.signIn' order by "timestamp" desc limit 1`,
  );
  return row;
}

async function signInAt(url: string, headers: Record<string, string>, body: object): Promise<void> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", "user-agent": userAgent, ...headers },
    body: JSON.stringify(body),
  });
  expect(response.status, await response.text()).toBe(200);
}

async function signIn(dashboard: RunningDashboard, headers: Record<string, string>): Promise<void> {
  const own = { "sec-fetch-site": "same-origin", ...headers };
  await signInAt(`${dashboard.url}/api/session`, own, { email: owner.email, password });
}

describe("a sign-in at the dashboard", () => {
  test("is audited with the browser's address, as a trusted proxy tells it, and its program", async () => {
    await using dashboard = await startDashboard({
      apiUrl: product.api.url,
      environment: { HOP_SECRET: hopSecret, TRUSTED_PROXIES: "127.0.0.1" },
    });
    await signIn(dashboard, { "x-forwarded-for": browserAddress });
    expect(await lastSignIn()).toEqual({ ipAddress: browserAddress, userAgent });
  });

  test("is audited with its own address whatever the browser claims, where no proxy is trusted", async () => {
    await using dashboard = await startDashboard({
      apiUrl: product.api.url,
      environment: { HOP_SECRET: hopSecret },
    });
    await signIn(dashboard, {
      "x-forwarded-for": browserAddress,
      "x-minimcp-browser-address": browserAddress,
      "x-minimcp-hop": hopSecret,
    });
    expect(await lastSignIn()).toEqual({ ipAddress: "127.0.0.1", userAgent });
  });
});

describe("a call to the API itself", () => {
  test.each([
    ["without the proof", {}],
    ["with another proof", { "x-minimcp-hop": "0".repeat(64) }],
    ["with a proof that is too short", { "x-minimcp-hop": hopSecret.slice(1) }],
  ])("%s says nothing about where it comes from", async (_name, headers) => {
    const claim = {
      "x-forwarded-for": browserAddress,
      "x-minimcp-browser-address": browserAddress,
      ...headers,
    };
    await signInAt(`${product.api.url}/trpc/auth.signIn`, claim, {
      json: { email: owner.email, password },
    });
    expect(await lastSignIn()).toMatchObject({ ipAddress: "127.0.0.1" });
  });

  test("by the dashboard is the browser's, whatever proxies between the two write into X-Forwarded-For", async () => {
    const claim = {
      "x-minimcp-hop": hopSecret,
      "x-minimcp-browser-address": browserAddress,
      "x-forwarded-for": "198.51.100.2",
    };
    await signInAt(`${product.api.url}/trpc/auth.signIn`, claim, {
      json: { email: owner.email, password },
    });
    expect(await lastSignIn()).toMatchObject({ ipAddress: browserAddress });
  });
});
