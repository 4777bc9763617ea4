import { chmod, chown, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { checkMode, ConfigError, type Environment, isSecret, readConfig, settings } from "../src/index.ts";

// The fault: a configuration that is wrong in five places is mended in five restarts, one that is nearly right runs and
// is found out later, and one that is printed for debugging gives the secrets away.

const masterKey = "8f1d7c02a9b3e45566778812cdef90ab13579bdf02468ace1f2e3d4c5b6a7988";

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "minimcp-config-"));
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

async function fileWith(name: string, text: string, mode: number): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, text);
  await chmod(path, mode);
  return path;
}

function problemsOf(attempt: () => unknown): readonly string[] {
  try {
    attempt();
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

function read(environment: Environment) {
  return readConfig(
    settings,
    {
      DATABASE_URL_API: "postgres://a@b/c",
      DATABASE_URL_WORKER: "postgres://a@b/c",
      MASTER_KEY: masterKey,
      SESSION_SECRET: "5e".repeat(32),
      ...environment,
    },
    checkMode,
  );
}

describe("a configuration", () => {
  test("that is complete is read into its types, with the documented defaults", () => {
    expect(
      read({ API_PORT: "5010", ALLOWED_ORIGINS: " https://a.example , ,https://b.example" }),
    ).toMatchObject({
      MINIMCP_MODE: "local",
      HOST: "127.0.0.1",
      API_PORT: 5010,
      GATEWAY_PORT: 5001,
      ALLOWED_ORIGINS: ["https://a.example", "https://b.example"],
      TRUSTED_PROXIES: [],
      SIGN_UP_POLICY: "invite",
      LOG_LEVEL: "info",
    });
  });

  test("with many faults tells them all at once, by name", () => {
    const problems = problemsOf(() =>
      readConfig(
        settings,
        {
          MINIMCP_MODE: "prod",
          API_PORT: "65536",
          GATEWAY_PORT: "5001x",
          PUBLIC_URL: "ftp://x",
          MASTER_KEY: "0".repeat(64),
          SIGN_UP_POLICY: "everybody",
          LOG_LEVEL: "loud",
          TRUSTED_PROXIES: "10.0.0.1, proxy.example",
          DATABASE_URL_WORKER: "mysql://x",
        },
        checkMode,
      ),
    );
    expect(new Set(problems.map((problem) => problem.split(":", 1)[0]))).toEqual(
      new Set([
        "API_PORT",
        "DATABASE_URL_API",
        "DATABASE_URL_WORKER",
        "GATEWAY_PORT",
        "LOG_LEVEL",
        "MASTER_KEY",
        "MINIMCP_MODE",
        "PUBLIC_URL",
        "SESSION_SECRET",
        "SIGN_UP_POLICY",
        "TRUSTED_PROXIES",
      ]),
    );
    expect(problems).toContain("DATABASE_URL_API: is required");
  });

  test("never shows a value in what it says, whichever setting is wrong", () => {
    const canaries = Object.fromEntries(Object.keys(settings).map((name) => [name, `canary ${name} \0`]));
    const error = problemsOf(() => readConfig(settings, canaries, checkMode)).join("\n");
    expect(error).not.toBe("");
    expect(error).not.toContain("canary");
  });

  test("takes an empty variable as one that is not set", () => {
    expect(read({ PUBLIC_URL: "", TLS_CERT_FILE: "", API_PORT: "" })).toMatchObject({ API_PORT: 5000 });
  });

  test.each(["-1", "1.5", "0x10", "1e3", " 80", "99999999999999999999"])("takes no port like %j", (port) => {
    expect(problemsOf(() => read({ API_PORT: port }))[0]).toMatch(/^API_PORT: must be/);
  });

  test.each([
    ["20000-20099", { firstUid: 20_000, count: 100 }],
    ["5000-5000", { firstUid: 5_000, count: 1 }],
  ])("gives instances the uids %s", (text, range) => {
    expect(read({ INSTANCE_UIDS: text }).INSTANCE_UIDS).toEqual(range);
  });

  test.each([
    ["20000", "two numbers"],
    ["20000-", "two numbers"],
    ["20099-20000", "lower number first"],
    ["0-99", "between 1000"],
    ["20000-40000", "at most 10000 numbers"],
    ["4294967290-4294967295", "between 1000"],
  ])("gives instances no uids %s", (text, why) => {
    expect(problemsOf(() => read({ INSTANCE_UIDS: text }))[0]).toContain(why);
  });

  test("knows its secrets", () => {
    const secrets = Object.entries(settings).flatMap(([name, field]) => (isSecret(field) ? [name] : []));
    expect(secrets.toSorted()).toEqual([
      "DATABASE_URL",
      "DATABASE_URL_API",
      "DATABASE_URL_WORKER",
      "HOP_SECRET",
      "MASTER_KEY",
      "SESSION_SECRET",
    ]);
  });
});

describe("a setting given as a file", () => {
  test("is the file's text, without the line end that editors add", async () => {
    const path = await fileWith("good", `${masterKey}\r\n`, 0o600);
    const values = read({ MASTER_KEY: undefined, MASTER_KEY_FILE: path });
    expect([...values.MASTER_KEY.keys.values()][0]?.toString("hex")).toBe(masterKey);
  });

  test.each([0o644, 0o640, 0o604, 0o660])(
    "is refused for a secret when others can read it: %o",
    async (mode) => {
      const path = await fileWith(`open-${mode}`, masterKey, mode);
      expect(problemsOf(() => read({ MASTER_KEY: undefined, MASTER_KEY_FILE: path }))).toEqual([
        "MASTER_KEY_FILE: the file can be read by others; run: chmod 600 on it",
      ]);
    },
  );

  test.runIf(process.geteuid?.() === 0)("is refused for a secret when it is another user's", async () => {
    const path = await fileWith("foreign", masterKey, 0o600);
    await chown(path, 65_534, 65_534);
    expect(problemsOf(() => read({ MASTER_KEY: undefined, MASTER_KEY_FILE: path }))).toEqual([
      "MASTER_KEY_FILE: the file is another user's, who can read and replace it; make it yours, or run as that user",
    ]);
  });

  test("may be readable by all for what is no secret", async () => {
    const path = await fileWith("level", "debug\n", 0o644);
    expect(read({ LOG_LEVEL_FILE: path }).LOG_LEVEL).toBe("debug");
  });

  test("is refused when it is not there or is a directory, without its path", () => {
    const missing = problemsOf(() =>
      read({ MASTER_KEY: undefined, MASTER_KEY_FILE: join(directory, "canary") }),
    );
    expect(missing).toEqual(["MASTER_KEY_FILE: cannot be read (ENOENT)"]);
    expect(problemsOf(() => read({ LOG_LEVEL_FILE: directory }))).toEqual([
      "LOG_LEVEL_FILE: cannot be read (EISDIR)",
    ]);
  });

  test("is refused beside the setting itself: nobody could tell which counts", async () => {
    const path = await fileWith("both", masterKey, 0o600);
    expect(problemsOf(() => read({ MASTER_KEY_FILE: path }))).toEqual([
      "MASTER_KEY: is given twice, as MASTER_KEY and as MASTER_KEY_FILE; keep one",
    ]);
  });
});

describe("the mode", () => {
  const tls = { TLS_CERT_FILE: "/cert.pem", TLS_KEY_FILE: "/key.pem" };

  test.each([
    ["local on loopback", { MINIMCP_MODE: "local", HOST: "127.0.0.1" }, []],
    ["local on another loopback address", { HOST: "127.8.9.10" }, []],
    ["local on loopback by IPv6", { HOST: "::1" }, []],
    ["local by name", { HOST: "localhost" }, []],
    ["local for everybody", { HOST: "0.0.0.0" }, ["HOST"]],
    ["local for everybody by IPv6", { HOST: "::" }, ["HOST"]],
    ["local on a name that only begins like loopback", { HOST: "127.0.0.1.example.com" }, ["HOST"]],
    ["local with TLS", tls, []],
    ["production without TLS", { MINIMCP_MODE: "production", HOST: "0.0.0.0" }, ["TLS_CERT_FILE"]],
    ["production with TLS", { MINIMCP_MODE: "production", HOST: "0.0.0.0", ...tls }, []],
    [
      "production behind a named proxy",
      { MINIMCP_MODE: "production", HOST: "10.0.0.2", TRUSTED_PROXIES: "10.0.0.1" },
      [],
    ],
    ["a certificate without its key", { TLS_CERT_FILE: "/cert.pem" }, ["TLS_CERT_FILE"]],
    ["a key without its certificate", { TLS_KEY_FILE: "/key.pem" }, ["TLS_CERT_FILE"]],
    [
      "production with half of TLS and no other fault",
      { MINIMCP_MODE: "production", TLS_KEY_FILE: "/key.pem" },
      ["TLS_CERT_FILE", "TLS_CERT_FILE"],
    ],
    [
      "an unknown mode, which is not taken for another",
      { MINIMCP_MODE: "Production", HOST: "0.0.0.0" },
      ["MINIMCP_MODE"],
    ],
  ])("%s", (_what, environment, named) => {
    const problems = problemsOf(() => read(environment));
    expect(problems.map((problem) => problem.split(":", 1)[0])).toEqual(named);
  });
});

describe("a trusted proxy", () => {
  test.each(["10.0.0.1", "10.0.0.0/8", "::1", "fd00::/8", "10.0.0.1, 192.168.0.0/16"])(
    "may be %s",
    (text) => {
      expect(read({ TRUSTED_PROXIES: text }).TRUSTED_PROXIES.join(", ")).toBe(text);
    },
  );

  test.each([
    "proxy.example",
    "10.0.0.256",
    "10.0.0.0/33",
    "10.0.0.0/",
    "::1/129",
    "10.0.0.0/8/8",
    "*",
    "10.0.0.0/a",
  ])("may not be %s", (text) => {
    expect(problemsOf(() => read({ TRUSTED_PROXIES: text }))).toEqual([
      "TRUSTED_PROXIES: must be IP addresses or ranges such as 10.0.0.0/8, separated by commas",
    ]);
  });

  test("may not be everybody", () => {
    for (const text of ["0.0.0.0/0", "::/0"]) {
      expect(
        problemsOf(() => read({ TRUSTED_PROXIES: text })),
        text,
      ).toHaveLength(1);
    }
  });
});
