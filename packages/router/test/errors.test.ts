import {
  type AppError,
  DatabaseUnavailable,
  Forbidden,
  InvalidInput,
  Unauthenticated,
  Unavailable,
} from "@minimcp/core";
import { TRPCError } from "@trpc/server";
import { describe, expect, test } from "vitest";
import { z } from "zod";

import { answerFor, toWireError } from "../src/errors.ts";

function thrown(cause: unknown): TRPCError {
  return new TRPCError({ code: "INTERNAL_SERVER_ERROR", cause });
}

function zodErrorOf(schema: z.ZodType, value: unknown): z.ZodError {
  const { error } = schema.safeParse(value);
  if (error === undefined) throw new Error("the value was valid");
  return error;
}

describe("what a caller is told", () => {
  test.each([
    [new InvalidInput("input.invalid", "no"), "BAD_REQUEST"],
    [new Unauthenticated("auth.tokenInvalid", "no"), "UNAUTHORIZED"],
    [new Forbidden("permission.denied", "no"), "FORBIDDEN"],
    [new Unavailable("auth.busy", "no"), "SERVICE_UNAVAILABLE"],
  ] satisfies [AppError, TRPCError["code"]][])(
    "%o becomes %s with its reason and sentence",
    (error, code) => {
      const wire = toWireError(thrown(error));
      expect(wire.code).toBe(code);
      expect(answerFor(wire)).toMatchObject({ reason: error.reason, message: "no" });
    },
  );

  test("is nothing of an error that nobody expected", () => {
    const secret = new Error("connect to postgres://owner:hunter2@10.0.0.1 failed");
    expect(answerFor(thrown(secret))).toMatchObject({ reason: "server.internal", message: "internal error" });
    expect(toWireError(thrown(secret)).code).toBe("INTERNAL_SERVER_ERROR");
  });

  test("is to come back in a moment while the database is away, and nothing of why", () => {
    const cause = new DatabaseUnavailable("cannotConnect", "10.0.0.1 refuses", { retryable: true });
    const answer = answerFor(thrown(cause));
    expect(answer).toMatchObject({ kind: "unavailable", reason: "server.unavailable", retryAfterSeconds: 2 });
    expect(answer.message).not.toContain("10.0.0.1");
    expect(toWireError(thrown(cause)).code).toBe("SERVICE_UNAVAILABLE");
  });

  test("names each field that is wrong, and no value", () => {
    const schema = z.strictObject({ email: z.email(), nested: z.strictObject({ count: z.int().max(5) }) });
    const error = zodErrorOf(schema, { email: "canary@", nested: { count: 77_777 }, canaryField: 1 });
    const answer = answerFor(new TRPCError({ code: "BAD_REQUEST", cause: error }));
    expect(answer.issues.map((issue) => issue.path)).toEqual([
      ["email"],
      ["nested", "count"],
      ["canaryField"],
    ]);
    expect(JSON.stringify(answer)).not.toMatch(/canary@|77777/);
  });

  test("names twenty wrong fields of a thousand: a small request is not answered with a large answer", () => {
    const fields = Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`field${index}`, 1]));
    const error = zodErrorOf(z.strictObject({}), fields);
    const answer = answerFor(new TRPCError({ code: "BAD_REQUEST", cause: error }));
    expect(answer.issues).toHaveLength(20);
    expect(answer.message.length).toBeLessThan(1_000);
  });

  test("does not blame the caller for stored data that does not parse", () => {
    const answer = answerFor(thrown(zodErrorOf(z.strictObject({ id: z.string() }), {})));
    expect(answer).toMatchObject({ kind: "internal", reason: "server.internal", issues: [] });
  });
});
