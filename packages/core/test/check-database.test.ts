/**
 * The attack: somebody between the product and its database. In production nothing may travel there in the clear, and a
 * setting that was forgotten must stop the start and not weaken it.
 */
import { expect, test } from "vitest";

import { checkDatabase } from "../src/index.ts";

const remote = "postgres://minimcp_api:secret@db.example.com/minimcp";
const socket = "postgres://minimcp_api:secret@localhost/minimcp?host=%2Frun%2Fpostgresql";

function complaints(values: Parameters<typeof checkDatabase>[0], url: string): string[] {
  const found: string[] = [];
  checkDatabase(values, { DATABASE_URL_API: url }, (name, message) => found.push(`${name}: ${message}`));
  return found;
}

test("production refuses a database across the network without an authority to verify it by", () => {
  const [complaint, ...more] = complaints({ MINIMCP_MODE: "production" }, remote);
  expect(complaint).toMatch(/^DATABASE_URL_API: production needs TLS .*DATABASE_CA_FILE/);
  expect(more).toEqual([]);
});

test("an authority, a Unix socket, or local mode is enough", () => {
  expect(complaints({ MINIMCP_MODE: "production", DATABASE_CA_FILE: "/ca.pem" }, remote)).toEqual([]);
  expect(complaints({ MINIMCP_MODE: "production" }, socket)).toEqual([]);
  expect(complaints({ MINIMCP_MODE: "local" }, remote)).toEqual([]);
});

test("half a client certificate, an address without a password and one that says sslmode are refused", () => {
  expect(complaints({ DATABASE_CERT_FILE: "/c.pem" }, socket)[0]).toMatch(
    /^DATABASE_CERT_FILE: .*go together/,
  );
  expect(complaints({}, "postgres://minimcp_api@db.example.com/minimcp")).toEqual([
    "DATABASE_URL_API: has no password",
  ]);
  const [complaint] = complaints({}, `${remote}?sslmode=no-verify`);
  expect(complaint).toContain("sslmode");
  expect(complaint).not.toContain("secret");
});
