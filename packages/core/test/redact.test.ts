import { generateKeyPairSync } from "node:crypto";

import { expect, test } from "vitest";

import { createLineRedactor, makePrintable, redact } from "../src/redact.ts";
import { mintToken } from "../src/token/opaque-token.ts";

// The attack: a server writes secrets to its log, by accident or because somebody made it, and the log is shown in a
// dashboard, kept in a database and copied into issues.

const jwt =
  "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJl";
const own = (["mcp", "mss", "mrt", "inv"] as const).map((prefix) => mintToken(prefix).token);

/** A line, and what must not be left of it. */
const corpus: [line: string, secret: string][] = [
  ...own.map((token): [string, string] => [`connecting with ${token} now`, token.slice(4)]),
  ...own.map((token): [string, string] => [`{"token":"${token}"}`, token.slice(4)]),
  ...own.map((token): [string, string] => [`cut off: ${token.slice(0, 30)}`, token.slice(4, 30)]),
  [`x${own[0]}x`, own[0]?.slice(4) ?? ""],
  ["Authorization: Bearer abc.def-123_456~789", "abc.def-123_456~789"],
  ["authorization: bearer AbCdEf123456==", "AbCdEf123456"],
  ['{"Authorization":"Basic dXNlcjpwYXNzd29yZA=="}', "dXNlcjpwYXNzd29yZA"],
  [`got ${jwt} from the server`, "c2lnbmF0dXJl"],
  [`cookie: session=${jwt}; Path=/`, "eyJhbGci"],
  ["postgres://minimcp:hunter2hunter2@db.example.com:5432/app?sslmode=require", "hunter2"],
  ["redis://:s3cr3tpassword@cache:6379/0", "s3cr3t"],
  ["mongodb+srv://app:p@ss:w0rd@cluster.example.net/x", "w0rd"],
  ["amqp://guest:guest@localhost/%2f", ":guest@"],
  ["error: connect https://user:tok3n@example.com/x failed", "tok3n"],
  ["DB_PASSWORD=correcthorse other=1", "correcthorse"],
  ['{"password": "correct horse battery", "user": "a"}', "correct horse battery"],
  ["apiKey: 'abcdefgh'", "abcdefgh"],
  ["X-Api-Key: abcdefgh12345", "abcdefgh12345"],
  ["client_secret = zyxwvut", "zyxwvut"],
  ["ghp_0123456789abcdefghij0123456789abcdef", "0123456789abcdefghij"],
  ["github_pat_11ABCDEFG0123456789_abcdefghijklmnop", "11ABCDEFG"],
  ["figd_AbCdEfGhIjKlMnOpQrSt-uVwXyZ", "AbCdEfGh"],
  ["figo_AbCdEfGhIjKlMnOpQrSt-uVwXyZ", "AbCdEfGh"],
  ["ya29.a0AfH6SMBexampleexampleexample", "a0AfH6"],
  ["GOCSPX-abcdefghijklmnop", "abcdefgh"],
  ["sk-ant-REDACTED", "abcdefgh"],
  [
    String.raw`{"key":"-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----\n","id":1}`,
    "MIIEvQ",
  ],
  ["-----BEGIN RSA PRIVATE KEY----- MIIEvQIBADANBg and no end", "MIIEvQ"],
  // Hidden from a look at the text by what a terminal does not show.
  [`\u001B[31mmcp_\u001B[0m${own[0]?.slice(4)}`, own[0]?.slice(4) ?? ""],
];

test.each(corpus)("nothing is left of the secret in %j", (line, secret) => {
  const left = createLineRedactor()(line);
  expect(left).not.toContain(secret);
  expect(left.length).toBeGreaterThan(0);
  // What has been redacted once does not change any more.
  expect(createLineRedactor()(left)).toBe(left);
});

test.each([
  "listening on http://127.0.0.1:3000/mcp?mode=fast",
  "GET /users/42 200 12ms",
  "Bearer token required; basic authentication is off",
  "invoice inv_12 of mcp_server is done",
  "TypeError: Cannot read properties of undefined (reading 'password')",
  "    at Module._compile (node:internal/modules/cjs/loader:1554:14)",
  "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 ok",
  "mailto:someone@example.com, see https://example.com/@scope/name",
  "ein Schlüssel, 鍵, 🔑",
])("what is no secret stays as it is: %j", (line) => {
  expect(createLineRedactor()(line)).toBe(line);
});

test("a key over several lines is gone from the first to the last, also where its beginning was missed", () => {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString().trim().split("\n");
  const whole = createLineRedactor();
  expect(["before", ...pem, "after"].map(whole)).toEqual([
    "before",
    ...pem.map(() => "[PEM block]"),
    "after",
  ]);
  const late = createLineRedactor();
  const body = pem.slice(3, -2);
  expect(body.map(late)).toEqual(body.map(() => "[key material]"));
});

test("a block that never ends hides the log only for a while", () => {
  const redactor = createLineRedactor();
  redactor("-----BEGIN NOTHING-----");
  const lines = Array.from({ length: 201 }, () => redactor("hello"));
  expect(lines.at(-1)).toBe("hello");
});

test("nothing that a line holds can move a cursor, hide text or turn it around", () => {
  expect(makePrintable("\u001B[2J\u001B]0;title\u0007a\rb\0c\td\u202Ee\u200Bf\uD800")).toBe(
    "a\uFFFDb\uFFFDc  d\uFFFDe\uFFFDf\uFFFD",
  );
});

test("a hostile line takes no longer than a line of its length takes", () => {
  const hostile = [
    "a".repeat(8_000),
    "://".repeat(2_700),
    "a://a:".repeat(1_300),
    "password".repeat(1_000),
    "eyJaaaaaa.".repeat(800),
    "-----BEGIN A-----".repeat(470),
    "Bearer ".repeat(1_100),
    `password=${'"a'.repeat(4_000)}`,
  ];
  const startedAt = performance.now();
  for (const line of hostile) redact(line);
  expect(performance.now() - startedAt).toBeLessThan(250);
});
