import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

import { KeyringError, parseKeyring } from "@minimcp/core";
import { readWorkerConfig } from "@minimcp/worker/env";
import { startWorker } from "@minimcp/worker/start";
import { pino } from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";

import { type Account, createAdmin } from "../support/accounts.ts";
import { mutate, query } from "../support/call.ts";
import { type Product, startProduct, testMasterKey } from "../support/product.ts";
import { startAnotherApi } from "./support/another-api.ts";
import { dump, run } from "../support/sql.ts";

// The fault: the API is started with a master key that is not the one its data is sealed with, as after a restore or a
// mistyped rotation. Going on would seal new things under a key that nobody meant to keep. It refuses, says which key
// is missing, and has changed nothing.

const otherKey = "1b2c3d4e5f60718293a4b5c6d7e8f90a0b1c2d3e4f5061728394a5b6c7d8e9fa";
const kid = parseKeyring(testMasterKey).activeKid;

let product: Product;
let admin: Account;

beforeAll(async () => {
  product = await startProduct({ worker: false });
  admin = await createAdmin(product);
  await mutate(
    product.api.url,
    "apiKey.create",
    { provider: "github", label: "work", secret: "ghp_0123456789abcdef" },
    { token: admin.token },
  );
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
});

test.each([
  ["another key", otherKey],
  ["another key under the name of the right one", `${kid}:${otherKey}`],
  ["the right key under another name", `renamed:${testMasterKey}`],
  [
    "another key first and the right name for a wrong key",
    `new:${testMasterKey.toUpperCase().replace("8F1D", "8F1E")},${kid}:${otherKey}`,
  ],
])(
  "with %s it does not start, names the key that is needed, and changes nothing",
  async (_what, masterKey) => {
    const before = await dump(product.database.ownerUrl);
    const started = startAnotherApi(product, { MASTER_KEY: masterKey });
    await expect(started).rejects.toThrow(KeyringError);
    await expect(started).rejects.toThrow(kid);
    await expect(started).rejects.not.toThrow(otherKey.slice(0, 8));
    expect(await dump(product.database.ownerUrl)).toEqual(before);
  },
);

test("nor does a worker start with another key: it could open nothing", async () => {
  const config = readWorkerConfig({
    MINIMCP_HOME: product.home,
    MASTER_KEY: otherKey,
    DATABASE_URL_WORKER: product.database.workerUrl,
    GATEWAY_PORT: "0",
  });
  const started = startWorker(config, pino({ level: "silent" }), { findBundle: () => undefined });
  await expect(started).rejects.toThrow(KeyringError);
  await expect(started).rejects.toThrow(kid);
});

test("with a new key first and the right one behind it, it starts, and everything old still counts", async () => {
  await using api = await startAnotherApi(product, { MASTER_KEY: `new:${otherKey},${kid}:${testMasterKey}` });
  const key = { provider: "github", label: "second", secret: "ghp_0123456789abcdef" };
  const session = await mutate(api.url, "auth.refresh", { refreshToken: admin.refreshToken });
  const token = session.data.tokens.accessToken;
  expect((await mutate(api.url, "apiKey.create", key, { token })).status).toBe(200);
  expect((await query(api.url, "apiKey.list", undefined, { token })).data.items).toHaveLength(2);
  // The user's data key is still wrapped by the old one; what is new from now on uses the new one.
  expect(await run(product.database.ownerUrl, "select distinct kek_kid from user_data_keys")).toEqual([
    { kek_kid: kid },
  ]);
});

test("one damaged row does not keep it from starting", async () => {
  await run(
    product.database.ownerUrl,
    "update user_data_keys set wrapped = set_byte(wrapped, 100, get_byte(wrapped, 100) # 1)",
  );
  await using api = await startAnotherApi(product);
  expect((await fetch(`${api.url}/readyz`)).status).toBe(200);
});

/** The API as an operator starts it, until it ends by itself. */
async function runProgram(environment: Record<string, string>): Promise<{ said: string; code: unknown }> {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.resolve("@minimcp/api/main"))], {
    env: { PATH: process.env["PATH"], ...environment },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const [said, [code]] = await Promise.all([text(child.stderr), once(child, "exit")]);
  return { said, code };
}

test("as a program it ends with the exit code for a wrong configuration, and with everything that is wrong in words", async () => {
  const wrongKey = await runProgram({
    MASTER_KEY: otherKey,
    DATABASE_URL_API: product.database.apiUrl,
    API_PORT: "0",
  });
  expect(wrongKey.code).toBe(78);
  expect(wrongKey.said).toContain(`MASTER_KEY lacks ${kid}`);
  const wrongAll = await runProgram({
    MASTER_KEY: "canary",
    DATABASE_URL_API: "canary",
    API_PORT: "canary",
    HOST: "0.0.0.0",
  });
  expect(wrongAll.code).toBe(78);
  for (const name of ["MASTER_KEY", "DATABASE_URL_API", "API_PORT", "HOST"])
    expect(wrongAll.said).toContain(`- ${name}: `);
  for (const { said } of [wrongKey, wrongAll]) expect(said).not.toMatch(/canary|1b2c3d4e|\.ts:/);
});
