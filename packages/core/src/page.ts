import { and, type Column, eq, lt, or, type SQL } from "drizzle-orm";
import { z } from "zod";

import { InvalidInput } from "./errors.ts";

/** How a list is read: so many at once, going on where the last answer's `nextCursor` says. */
export const PageInput = z.strictObject({
  limit: z.int().min(1).max(200).default(50),
  cursor: z.string().max(200).optional(),
});

export interface Page<T> {
  items: T[];
  /** Hand it back to get the next page; null at the end. */
  nextCursor: string | null;
}

const Cursor = z.tuple([
  z.iso
    .datetime()
    .transform((text) => new Date(text))
    // PostgreSQL knows no year 0, and no row is older than the product.
    .pipe(z.date().min(new Date(0))),
  z.uuid(),
]);

/**
 * What comes behind a cursor in a list that is ordered by time and id, newest first; everything without one.
 * @throws InvalidInput for a cursor that no list gave out
 */
export function olderThan(
  { createdAt, id }: { createdAt: Column; id: Column },
  cursor: string | undefined,
): SQL | undefined {
  if (cursor === undefined) return undefined;
  const parsed = Cursor.safeParse(Buffer.from(cursor, "base64url").toString("utf8").split("|"));
  if (!parsed.success) {
    throw new InvalidInput(
      "input.invalid",
      "This cursor is not one that a list returned. Start without a cursor.",
      {
        issues: [{ path: ["cursor"], message: "is not a cursor of this list" }],
      },
    );
  }
  const [lastAt, lastId] = parsed.data;
  return or(lt(createdAt, lastAt), and(eq(createdAt, lastAt), lt(id, lastId)));
}

/** Cuts the one row read beyond the limit, which tells that there is more. */
export function toPage<T extends { id: string; createdAt: Date }>(rows: T[], limit: number): Page<T> {
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  const more = rows.length > limit && last !== undefined;
  return {
    items,
    nextCursor: more ? Buffer.from(`${last.createdAt.toISOString()}|${last.id}`).toString("base64url") : null,
  };
}
