import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { readDashboardSettings } from "../src/env.ts";

const older = "a1".repeat(32);
const newer = "b2".repeat(32);

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "minimcp-dashboard-"));
});

afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

async function fileWith(text: string, mode: number): Promise<string> {
  const path = join(directory, `secret-${mode.toString(8)}`);
  await writeFile(path, text);
  await chmod(path, mode);
  return path;
}

test("a secret is all that has to be given", () => {
  expect(readDashboardSettings({ SESSION_SECRET: older })).toMatchObject({
    HOST: "127.0.0.1",
    DASHBOARD_PORT: 3000,
    PUBLIC_URL: "http://127.0.0.1:5000",
    DASHBOARD_URL: undefined,
    TRUSTED_PROXIES: [],
    SESSION_SECRET: { 1: older },
  });
});

test("several sealing keys are told apart by their numbers", () => {
  const { SESSION_SECRET } = readDashboardSettings({ SESSION_SECRET: `2:${newer},1:${older}` });
  expect(SESSION_SECRET).toEqual({ 1: older, 2: newer });
});

test("an address loses its slash, so that paths can be appended", () => {
  const settings = readDashboardSettings({
    SESSION_SECRET: older,
    DASHBOARD_URL: "https://mcp.example.com/",
  });
  expect(settings.DASHBOARD_URL).toBe("https://mcp.example.com");
});

test("everything that is wrong is told at once, by name and without values", () => {
  const canary = "canary-canary";
  const read = () =>
    readDashboardSettings({
      SESSION_SECRET: canary,
      PUBLIC_URL: `ftp://${canary}`,
      DASHBOARD_PORT: "70000",
      HOP_SECRET: canary,
      TLS_CERT_FILE: "/cert.pem",
    });
  expect(read).toThrow(/SESSION_SECRET[^]*64 hexadecimal digits/);
  for (const name of ["PUBLIC_URL", "DASHBOARD_PORT", "HOP_SECRET"]) expect(read).toThrow(name);
  expect(read).not.toThrow(canary);
  expect(() => readDashboardSettings({ SESSION_SECRET: older, TLS_CERT_FILE: "/cert.pem" })).toThrow(
    "go together",
  );
});

describe("a secret in a file", () => {
  test("is read without its line end", async () => {
    const file = await fileWith(`${older}\n`, 0o600);
    expect(readDashboardSettings({ SESSION_SECRET_FILE: file }).SESSION_SECRET).toEqual({ 1: older });
  });

  test("that others can read is refused, with what to do", async () => {
    const file = await fileWith(older, 0o644);
    expect(() => readDashboardSettings({ SESSION_SECRET_FILE: file })).toThrow(
      /SESSION_SECRET .*chmod 600 the file of SESSION_SECRET_FILE/,
    );
  });

  test("and beside it is one too many", async () => {
    const file = await fileWith(older, 0o600);
    expect(() => readDashboardSettings({ SESSION_SECRET_FILE: file, SESSION_SECRET: newer })).toThrow(
      "is given twice",
    );
  });
});
