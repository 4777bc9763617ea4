import { apiKeys, instances, type apiKeyProviders } from "@minimcp/db/schema";
import { and, eq, sql } from "drizzle-orm";

import { isLive } from "../lease/lease.ts";

export type ApiKeyProvider = (typeof apiKeyProviders)[number];

/** A stored key as its owner sees it. The secret itself is never readable again. */
export interface ApiKeyView {
  id: string;
  provider: ApiKeyProvider;
  label: string;
  /** The last four characters of the secret. */
  hint: string;
  /** Equal for equal secrets of one owner, so that a key stored twice shows. */
  fingerprint: string;
  createdAt: Date;
  /** When a worker last opened it for an instance. */
  lastUsedAt: Date | null;
  /** How many live instances use it now. */
  liveInstances: number;
}

export const apiKeyColumns = {
  id: apiKeys.id,
  provider: apiKeys.provider,
  label: apiKeys.label,
  hint: apiKeys.hint,
  fingerprint: sql<string>`encode(substring(${apiKeys.fingerprint} for 8), 'hex')`,
  createdAt: apiKeys.createdAt,
  lastUsedAt: apiKeys.lastUsedAt,
  // Through eq(): in a select from one table, Drizzle writes a bare ${column} without its table, and both have an id.
  liveInstances: sql<number>`(select count(*)::int from ${instances}
    where ${and(eq(instances.apiKeyId, apiKeys.id), isLive)})`,
};
