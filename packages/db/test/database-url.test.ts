import { describe, expect, test } from "vitest";

import { buildDatabaseUrl, openDatabase, parseDatabaseUrl } from "../src/index.ts";

describe("what a database URL may say", () => {
  test.each([
    ["sslmode", "postgres://u:secret@db.example/app?sslmode=no-verify"],
    ["sslmode", "postgres://u:secret@db.example/app?sslmode=verify-full"],
    ["SSLMode", "postgres://u:secret@db.example/app?SSLMode=require"],
    ["sslrootcert", "postgres://u:secret@db.example/app?sslrootcert=/etc/passwd"],
    ["ssl", "postgres://u:secret@db.example/app?ssl=0"],
    ["uselibpqcompat", "postgres://u:secret@db.example/app?uselibpqcompat=true"],
  ])("%s is refused with a sentence that does not repeat the password", (name, url) => {
    expect(() => openDatabase({ url, applicationName: "test" })).toThrow(
      `contains "${name}". Remove it: TLS to the database has settings of its own`,
    );
    expect(() => parseDatabaseUrl(url)).not.toThrow("secret");
  });

  test.each([
    ["postgres://u:secret@db.example/app?options=-csearch_path%3Devil", 'unknown parameter "options"'],
    ["postgres://u:secret@db.example", "names no database"],
    ["postgres:///", "names no host, no user, no database"],
    ["mysql://u:secret@db.example/app", "cannot be read"],
    ["postgres://u:secret@db.example:99999/app", "cannot be read"],
    ["postgres://u:secret@db.example/app?port=0", "port"],
  ])("%s is refused", (url, message) => {
    expect(() => parseDatabaseUrl(url)).toThrow(message);
    expect(() => parseDatabaseUrl(url)).not.toThrow("secret");
  });

  test.each([
    [
      "postgres://u:p@db.example:6432/app",
      { host: "db.example", port: 6432, user: "u", password: "p", database: "app" },
    ],
    [
      "postgresql://u@[::1]/app",
      { host: "::1", port: 5432, user: "u", password: undefined, database: "app" },
    ],
    [
      "postgres:///app?host=/run/pg&user=u&password=p%26q",
      { host: "/run/pg", port: 5432, user: "u", password: "p&q", database: "app" },
    ],
    [
      "postgres://u:p@/app?host=/run/pg",
      { host: "/run/pg", port: 5432, user: "u", password: "p", database: "app" },
    ],
    [
      "postgres://u%40x:p%2Fq%3A@localhost/a%20b?host=%2Frun%2Fp%20g",
      { host: "/run/p g", port: 5432, user: "u@x", password: "p/q:", database: "a b" },
    ],
  ])("%s is understood, and built again means the same", (url, address) => {
    expect(parseDatabaseUrl(url)).toEqual(address);
    expect(parseDatabaseUrl(buildDatabaseUrl(address))).toEqual(address);
  });

  test("TLS settings for a Unix socket are refused, not ignored", () => {
    expect(() =>
      openDatabase({ url: "postgres:///app?host=/run/pg&user=u", applicationName: "test", tls: {} }),
    ).toThrow("Unix socket");
  });
});
