import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";

import type { Transaction } from "@minimcp/db";
import { apiKeys, instances, instanceTokens, receipts } from "@minimcp/db/schema";
import { and, eq, isNull, sql } from "drizzle-orm";
import { z } from "zod";

import { apiKeyNotFound } from "../api-key/get-api-key.ts";
import { appendAudit } from "../audit.ts";
import { type Context, databaseActor, requireUser } from "../context.ts";
import { Conflict, InvalidInput, PreconditionFailed, Unavailable } from "../errors.ts";
import { hostsOf, type ServerTypeDeclaration } from "../server-type/declaration.ts";
import { readNodeIsolation, readServerTypes } from "../server-type/read-server-types.ts";
import { mintToken } from "../token/opaque-token.ts";
import { endpointOf, instanceColumns, type InstanceView, viewInstance } from "./instance-view.ts";
import { LifetimeMinutes } from "./lifetime-minutes.ts";
import { type Snippets, writeSnippets } from "./snippets.ts";
import { takePlace } from "./take-place.ts";

export const CreateInstance = z.strictObject({
  type: z.string().min(1).max(50),
  apiKeyId: z.uuid().optional(),
  /** How long it lives. Everything it has ends together at that moment. */
  expirationMinutes: LifetimeMinutes,
  label: z.string().trim().min(1).max(100).optional(),
  config: z
    .record(
      z.string().regex(/^[a-z][a-z0-9_]{0,49}$/, "keys are lower-case letters, digits and _, at most 50"),
      z.string().max(1000, "values have at most 1000 characters"),
    )
    .refine((config) => Object.keys(config).length <= 10, "has at most 10 keys")
    .default({}),
  /** Makes a retry safe: the same key gives the same instance, with a new token in place of the old. */
  idempotencyKey: z.string().min(8).max(100).optional(),
});
export type CreateInstance = z.infer<typeof CreateInstance>;

export interface CreatedInstance {
  instance: InstanceView;
  /** The bearer token of the endpoint. Shown here and never again. */
  accessToken: string;
  endpoint: string;
  snippets: Snippets;
}

/**
 * Creates an instance; a worker starts it at once. It is `requested` in the answer and `ready` when it serves, and
 * a call that arrives in between waits.
 * @throws InvalidInput `mcp.typeUnknown`, `mcp.configNotAccepted`, `mcp.keyNotAccepted`, `mcp.keyWrongProvider`
 * @throws PreconditionFailed `mcp.keyRequired`
 * @throws NotFound `apiKey.notFound`
 * @throws Conflict `mcp.idempotencyKeyReused` for the same key with another input, or after its instance is over
 * @throws LimitReached `mcp.instanceLimit`
 * @throws Unavailable `mcp.noWorker`, `mcp.noCapacity`: nothing could run it, so nothing is stored
 */
export async function createInstance(ctx: Context, input: CreateInstance): Promise<CreatedInstance> {
  const { userId } = requireUser(ctx);
  const token = mintToken("mcp");
  const instance = await ctx.db.as(databaseActor(ctx.principal), async (tx) => {
    const [type] = await readServerTypes(tx, input.type);
    if (type === undefined) {
      throw new InvalidInput(
        "mcp.typeUnknown",
        "There is no such type. See the catalogue for those there are.",
        {
          issues: [{ path: ["type"], message: "is not in the catalogue" }],
        },
      );
    }
    checkConfig(type, input.config);
    await checkApiKey(tx, type, input.apiKeyId, userId);
    if ((await readNodeIsolation(tx)) === null) {
      throw new Unavailable(
        "mcp.noWorker",
        "No worker is running, so nothing could start it. Try again in a moment.",
        {
          retryAfterSeconds: 5,
        },
      );
    }

    const insertedId = await insertInstance(tx, type, userId, input);
    const instanceId = insertedId ?? (await replay(tx, userId, input));
    await tx.insert(instanceTokens).values({
      id: randomUUID(),
      instanceId,
      userId,
      tokenHash: token.hash,
      start: token.start,
      expiresAt: sql`(select ${instances.expiresAt} from ${instances} where ${eq(instances.id, instanceId)})`,
    });
    await appendAudit(tx, ctx.request, {
      action: insertedId === null ? "mcp.create.replay" : "mcp.create",
      resourceType: "instance",
      resourceId: instanceId,
      newValue: {
        type: type.id,
        expirationMinutes: input.expirationMinutes,
        apiKeyId: input.apiKeyId ?? null,
      },
    });
    const [row] = await tx
      .select(instanceColumns)
      .from(instances)
      .innerJoin(receipts, eq(receipts.instanceId, instances.id))
      .where(eq(instances.id, instanceId));
    if (row === undefined) throw new Error("an instance was not stored");
    if (insertedId !== null) await takePlace(tx, ctx.settings, userId);
    return viewInstance(row, ctx.settings);
  });
  const endpoint = endpointOf(instance.id, ctx.settings.gatewayUrl);
  const name = `minimcp-${instance.type}`;
  return {
    instance,
    accessToken: token.token,
    endpoint,
    snippets: writeSnippets(name, endpoint, token.token),
  };
}

/** @returns its id; null when there is one with this idempotency key already */
async function insertInstance(
  tx: Transaction,
  type: ServerTypeDeclaration,
  userId: string,
  input: CreateInstance,
): Promise<string | null> {
  const id = randomUUID();
  const inserted = await tx
    .insert(instances)
    .values({
      id,
      userId,
      typeId: type.id,
      apiKeyId: input.apiKeyId ?? null,
      label: input.label ?? null,
      config: input.config,
      expiresAt: sql`now() + make_interval(mins => ${input.expirationMinutes})`,
      idempotencyKey: input.idempotencyKey ?? null,
    })
    .onConflictDoNothing()
    .returning({ id: instances.id });
  if (inserted.length === 0) return null;
  const granted = { tools: type.tools.map(({ name }) => name), hosts: hostsOf(type) };
  await tx.insert(receipts).values({ instanceId: id, userId, granted });
  return id;
}

function checkConfig(type: ServerTypeDeclaration, config: Record<string, string>): void {
  const unknown = Object.keys(config).filter((key) => !Object.hasOwn(type.config, key));
  if (unknown.length === 0) return;
  const known = Object.keys(type.config);
  throw new InvalidInput(
    "mcp.configNotAccepted",
    known.length === 0
      ? `The type ${type.id} takes no configuration.`
      : `The type ${type.id} takes only these configuration keys: ${known.join(", ")}.`,
    { issues: unknown.map((key) => ({ path: ["config", key], message: "is not a key of this type" })) },
  );
}

async function checkApiKey(
  tx: Transaction,
  type: ServerTypeDeclaration,
  apiKeyId: string | undefined,
  userId: string,
): Promise<void> {
  const provider = type.credential?.provider ?? null;
  if (apiKeyId === undefined) {
    if (provider === null) return;
    throw new PreconditionFailed(
      "mcp.keyRequired",
      `The type ${type.id} needs one of your ${provider} keys. Store one first, then name it here.`,
    );
  }
  if (provider === null) {
    throw new InvalidInput(
      "mcp.keyNotAccepted",
      `The type ${type.id} works without an API key. Leave it out.`,
      {
        issues: [{ path: ["apiKeyId"], message: "is not needed by this type" }],
      },
    );
  }
  // Locked, so that a deletion of the key either sees this instance or is seen here.
  const [key] = await tx
    .select({ provider: apiKeys.provider })
    .from(apiKeys)
    .where(and(eq(apiKeys.id, apiKeyId), eq(apiKeys.userId, userId), isNull(apiKeys.deletedAt)))
    .for("share");
  if (key === undefined) throw apiKeyNotFound();
  if (key.provider !== provider) {
    throw new InvalidInput(
      "mcp.keyWrongProvider",
      `This is a ${key.provider} key; ${type.id} needs a ${provider} key.`,
      {
        issues: [{ path: ["apiKeyId"], message: `is not a ${provider} key` }],
      },
    );
  }
}

/** The instance that an earlier call with this idempotency key made; its old tokens die, a new one follows. */
async function replay(tx: Transaction, userId: string, input: CreateInstance): Promise<string> {
  const [existing] = await tx
    .select({
      id: instances.id,
      typeId: instances.typeId,
      apiKeyId: instances.apiKeyId,
      label: instances.label,
      config: instances.config,
      state: instances.state,
      renewals: instances.renewals,
      minutes: sql<number>`round(extract(epoch from ${instances.expiresAt} - ${instances.createdAt}) / 60)::int`,
    })
    .from(instances)
    .where(and(eq(instances.userId, userId), eq(instances.idempotencyKey, input.idempotencyKey ?? "")))
    .for("update");
  if (existing === undefined) throw new Error("an instance was refused as a duplicate, yet there is none");
  const same =
    existing.typeId === input.type &&
    existing.apiKeyId === (input.apiKeyId ?? null) &&
    existing.label === (input.label ?? null) &&
    // What it was created with shows in its deadline only until that is moved.
    (existing.renewals > 0 || existing.minutes === input.expirationMinutes) &&
    isDeepStrictEqual(existing.config, input.config);
  if (!same) {
    throw new Conflict(
      "mcp.idempotencyKeyReused",
      "This idempotency key was used for another instance. Use a new key for a new instance.",
    );
  }
  if (["stopping", "ended", "failed"].includes(existing.state)) {
    throw new Conflict(
      "mcp.idempotencyKeyReused",
      "The instance of this idempotency key is over. Use a new key for a new instance.",
    );
  }
  await tx
    .update(instanceTokens)
    .set({ revokedAt: sql`now()` })
    .where(and(eq(instanceTokens.instanceId, existing.id), isNull(instanceTokens.revokedAt)));
  return existing.id;
}
