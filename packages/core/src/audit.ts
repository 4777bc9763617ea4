import type { Transaction } from "@minimcp/db";
import type { auditResults } from "@minimcp/db/schema";
import { sql } from "drizzle-orm";

import type { RequestOrigin } from "./context.ts";
import { Unavailable } from "./errors.ts";

/** What an audit event says, besides who and when, which the database fills in. */
export interface AuditEntry {
  /** noun.verb, as the procedure is called: `apiKey.create`. */
  action: string;
  resourceType: string;
  resourceId?: string | null;
  /** Never a secret: at most that there was one. */
  oldValue?: unknown;
  newValue?: unknown;
  result?: (typeof auditResults)[number];
  errorMessage?: string | null;
}

/**
 * Writes an audit event in the transaction of the change it tells of, so that neither is there without the other.
 * @throws Unavailable (`audit.unavailable`): a change that cannot be audited does not happen
 */
export async function appendAudit(tx: Transaction, request: RequestOrigin, entry: AuditEntry): Promise<void> {
  const append = tx.execute(
    sql`select audit.append(
      ${entry.action}, ${entry.resourceType}, ${entry.resourceId ?? null},
      ${toJson(entry.oldValue)}::jsonb, ${toJson(entry.newValue)}::jsonb,
      ${entry.result ?? "success"}, ${entry.errorMessage ?? null},
      ${request.ipAddress}::inet, ${request.userAgent}, ${request.id})`,
  );
  try {
    await append;
  } catch (error) {
    throw new Unavailable(
      "audit.unavailable",
      "The audit trail cannot be written, so nothing was changed. Try again later.",
      {
        cause: error,
      },
    );
  }
}

function toJson(value: unknown): string | null {
  return value === undefined ? null : JSON.stringify(value);
}
