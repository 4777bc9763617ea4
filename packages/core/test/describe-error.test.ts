/**
 * The attack: an error that carries more than it says. The database driver hangs its client on an error, and the client
 * holds the password; a log that writes whatever an error has gives it to everybody who may read logs.
 */
import { expect, test } from "vitest";

import { describeError } from "../src/describe-error.ts";

test("of an error a log gets its name, message, code, stack and causes, and nothing that hangs on it", () => {
  const cause = Object.assign(new TypeError("inner"), { client: { password: "canary-inner" } });
  const error = Object.assign(new Error("outer", { cause }), {
    code: "ECONNRESET",
    client: { connectionParameters: { password: "canary-outer" } },
  });
  const described = describeError(error);
  expect(described).toMatchObject({ name: "Error", message: "outer", code: "ECONNRESET" });
  expect(described.stack).toContain("describe-error.test");
  expect(described.cause).toMatchObject({ name: "TypeError", message: "inner" });
  expect(JSON.stringify(described)).not.toContain("canary");
});

test("an error that is its own cause, and what is no error, are described too", () => {
  const error = new Error("round");
  error.cause = error;
  expect(JSON.stringify(describeError(error)).length).toBeLessThan(20_000);
  expect(describeError("a text")).toEqual({ name: "string", message: "a text" });
});
