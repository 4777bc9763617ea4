import { ConfigError } from "@minimcp/core";
import { afterEach, describe, expect, test, vi } from "vitest";

import { readApiConfig, takeApiConfig } from "../src/env.ts";

const good = {
  MASTER_KEY: "8f1d7c02a9b3e45566778812cdef90ab13579bdf02468ace1f2e3d4c5b6a7988",
  DATABASE_URL_API: "postgres://minimcp_api:hunter2@127.0.0.1/minimcp",
};

afterEach(() => {
  vi.unstubAllEnvs();
});

describe("the API's configuration", () => {
  test("needs a master key and a database, and nothing else", () => {
    expect(readApiConfig(good)).toMatchObject({
      API_PORT: 5000,
      HOST: "127.0.0.1",
      SIGN_UP_POLICY: "invite",
    });
    expect(() => readApiConfig({})).toThrow(ConfigError);
    expect(() => readApiConfig({})).toThrow(/DATABASE_URL_API: is required\n.*MASTER_KEY: is required/);
  });

  test("holds the mode's rules", () => {
    expect(() => readApiConfig({ ...good, HOST: "0.0.0.0" })).toThrow(
      /HOST: local mode listens on loopback only/,
    );
    expect(() => readApiConfig({ ...good, MINIMCP_MODE: "production" })).toThrow(/production needs TLS/);
  });

  test("does not take the owner's database in place of its own", () => {
    const { DATABASE_URL_API: owner, ...rest } = good;
    expect(() => readApiConfig({ ...rest, DATABASE_URL: owner })).toThrow(/DATABASE_URL_API: is required/);
  });

  test("leaves no secret in the environment for what the process starts", () => {
    for (const [name, value] of Object.entries(good)) vi.stubEnv(name, value);
    expect(takeApiConfig().MASTER_KEY.keys.size).toBe(1);
    expect(Object.values(process.env).filter((value) => /hunter2|8f1d7c02/.test(value ?? ""))).toEqual([]);
  });
});
