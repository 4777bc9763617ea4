import type { RouterOutputs } from "@minimcp/client";
import { expect, it } from "vitest";

import { secretColumns } from "./support/secret-columns.ts";

/*
 * Every field of every answer that the server gives, written down a second time: a field that is added or removed does
 * not compile until it is added or removed here too, where a reviewer sees it.
 */

/** How a type is written down. The brackets keep a union whole: the answers of a sign-in are one record. */
type Written<T> = [T] extends [never]
  ? "never"
  : null extends T
    ? { nullable: Written<NonNullable<T>> }
    : undefined extends T
      ? { optional: Written<NonNullable<T>> }
      : [T] extends [Date]
        ? "Date"
        : [T] extends [string]
          ? "string"
          : [T] extends [number]
            ? "number"
            : [T] extends [boolean]
              ? "boolean"
              : [T] extends [string | number | boolean]
                ? "any"
                : [T] extends [readonly (infer Item)[]]
                  ? { each: Written<Item> }
                  : [T] extends [AsyncIterable<infer Item, unknown, unknown>]
                    ? { stream: Written<Item> }
                    : string extends keyof T
                      ? { values: Written<T[string & keyof T]> }
                      : { [Field in FieldOf<T>]: Written<T[Field & keyof T]> };

type FieldOf<T> = T extends unknown ? keyof T : never;

function nullable<T>(written: T) {
  return { nullable: written };
}

function optional<T>(written: T) {
  return { optional: written };
}

function each<T>(written: T) {
  return { each: written };
}

function stream<T>(written: T) {
  return { stream: written };
}

const text = "string" as const;

function page<T>(written: T) {
  return { items: each(written), nextCursor: nullable(text) };
}

const user = {
  id: text,
  email: text,
  name: text,
  role: text,
  status: text,
  createdAt: "Date",
} as const;

const tokens = {
  accessToken: text,
  accessTokenExpiresInSeconds: "number",
  refreshToken: text,
  refreshTokenExpiresAt: "Date",
} as const;

const apiKey = {
  id: text,
  provider: text,
  label: text,
  hint: text,
  fingerprint: text,
  createdAt: "Date",
  lastUsedAt: nullable("Date" as const),
  liveInstances: "number",
} as const;

const isolation = nullable({ level: text, parts: { values: "any" } } as const);

const instance = {
  id: text,
  type: text,
  label: nullable(text),
  apiKeyId: nullable(text),
  config: { values: text },
  state: text,
  endReason: nullable(text),
  failure: nullable(text),
  endpoint: text,
  createdAt: "Date",
  expiresAt: "Date",
  renewalsLeft: "number",
  latestExpiresAt: "Date",
  readyAt: nullable("Date" as const),
  endedAt: nullable("Date" as const),
  isolation,
  calls: "number",
} as const;

const receipt = {
  instanceId: text,
  type: text,
  state: text,
  endReason: nullable(text),
  createdAt: "Date",
  readyAt: nullable("Date" as const),
  endedAt: nullable("Date" as const),
  isolation,
  granted: { tools: each(text), hosts: each(text) },
  used: {
    tools: each({ name: text, calls: "number" } as const),
    hosts: each({
      host: text,
      requests: "number",
      denied: "number",
      bytesOut: "number",
      bytesIn: "number",
    } as const),
  },
  calls: "number",
  denials: "number",
  failures: "number",
  requestBytes: "number",
  responseBytes: "number",
  final: "boolean",
  incomplete: "boolean",
} as const;

const nothing = { values: "never" } as const;

const outputs = {
  auth: {
    signUp: { user, tokens },
    signIn: {
      status: text,
      user,
      tokens: optional(tokens),
      session: optional({ bearer: text, idleExpiresAt: "Date", absoluteExpiresAt: "Date" } as const),
    },
    refresh: { tokens },
    signOut: nothing,
    me: {
      user,
      permissions: each(text),
      session: nullable({
        id: text,
        createdAt: "Date",
        lastSeenAt: "Date",
        idleExpiresAt: "Date",
        absoluteExpiresAt: "Date",
        ipAddress: nullable(text),
        userAgent: nullable(text),
      } as const),
    },
  },
  apiKey: {
    create: apiKey,
    list: { items: each(apiKey) },
    get: apiKey,
    delete: nothing,
  },
  mcp: {
    types: {
      items: each({
        id: text,
        version: text,
        title: text,
        description: text,
        provider: nullable(text),
        keyRequirement: nullable(text),
        hosts: each(text),
        tools: each({ name: text, description: text }),
        config: each({ key: text, description: text }),
      }),
      isolation,
    },
    create: {
      instance,
      accessToken: text,
      endpoint: text,
      snippets: { claudeCode: text, claudeDesktop: text, cursor: text, vscode: text },
    },
    list: page(instance),
    get: instance,
    usage: { items: each({ day: text, instances: "number", calls: "number" } as const) },
    receipt,
    renew: instance,
    revoke: receipt,
    watch: stream(instance),
    watchAll: stream(each(instance)),
    logs: stream({
      id: text,
      data: { id: text, at: "Date", stream: text, text, droppedBytes: "number" },
    } as const),
  },
  admin: {
    users: { list: page(user) },
    invitations: {
      create: { id: text, code: text, email: nullable(text), role: text, expiresAt: "Date" },
    },
    instances: {
      list: page({ ...instance, userId: text, nodeId: nullable(text) } as const),
      terminate: receipt,
      usage: {
        days: "number",
        items: each({
          userId: text,
          email: text,
          type: text,
          instances: "number",
          minutes: "number",
          calls: "number",
          denials: "number",
          failures: "number",
        } as const),
      },
    },
  },
} as const satisfies Written<RouterOutputs>;

// And the other way round: a field that the server no longer gives must go here too.
outputs as Written<RouterOutputs> satisfies typeof outputs;

/** Every name of a field, at any depth. */
function namesIn(written: unknown): string[] {
  if (typeof written !== "object" || written === null) return [];
  return Object.entries(written).flatMap(([name, inner]) => [name, ...namesIn(inner)]);
}

it("no answer has a field that is named like a column that holds a secret", () => {
  const names = new Set(namesIn(outputs));
  expect(names).toContain("expiresAt");
  expect(secretColumns).toEqual(expect.arrayContaining(["passwordHash", "sealed", "tokenHash", "codeHash"]));
  expect([...names].filter((name) => secretColumns.includes(name))).toEqual([]);
});
