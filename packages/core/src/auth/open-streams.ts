import type { Database } from "@minimcp/db";
import { sessions, users } from "@minimcp/db/schema";
import { and, eq, inArray } from "drizzle-orm";

import { databaseActor } from "../context.ts";
import { LimitReached, Unauthenticated, Unavailable } from "../errors.ts";
import { type Principal, type SessionOrigin, system } from "../principal.ts";
import { sessionEnded } from "./authenticate.ts";
import { isLiveSession } from "./live-session.ts";

/** One answer that goes on for as long as its reader wants it. */
export interface OpenStream {
  /** Aborts when it may go on no longer; its reason is what the reader is told. */
  signal: AbortSignal;
  /** Gives its place back. Calling again changes nothing. */
  close(): void;
}

export interface OpenStreams extends AsyncDisposable {
  /**
   * Takes a place for a stream to a caller.
   * @throws LimitReached (`stream.limitReached`) when they have as many as they may
   * @throws Unavailable (`server.unavailable`) when the process is about to end
   */
  open(principal: Principal): OpenStream;
}

export interface OpenStreamsOptions {
  db: Database;
  /** How many a user may have open at a time. */
  maxPerUser: number;
  /** Told of a failed look at the sessions. It is repeated. */
  onError: (error: unknown) => void;
}

/** Two looks fit into the second that a sign-out may take to reach a stream. */
const lookMs = 400;

/**
 * Keeps what was checked when a stream was opened true for as long as it is open: one query for all of a process's
 * streams looks whether their sessions still count. When the process ends, all end, in a way that has their readers come
 * again.
 */
export function createOpenStreams({ db, maxPerUser, onError }: OpenStreamsOptions): OpenStreams {
  const open = new Map<AbortController, { userId: string; session: SessionOrigin }>();
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> = Promise.resolve();
  let isClosing = false;

  function lookSoon(): void {
    if (timer !== undefined || open.size === 0 || isClosing) return;
    timer = setTimeout(() => {
      looking = look()
        .catch(onError)
        .finally(() => {
          timer = undefined;
          lookSoon();
        });
    }, lookMs);
  }

  async function look(): Promise<void> {
    const ids = [...new Set([...open.values()].map(({ session }) => session.id))];
    if (ids.length === 0) return;
    const rows = await db.as(databaseActor(system("auth")), (tx) =>
      tx
        .select({ id: sessions.id, epoch: users.tokenEpoch })
        .from(sessions)
        .innerJoin(users, eq(users.id, sessions.userId))
        .where(and(inArray(sessions.id, ids), isLiveSession)),
    );
    const epochs = new Map(rows.map(({ id, epoch }) => [id, epoch]));
    const asked = new Set(ids);
    for (const [stream, { session }] of open) {
      // One that was opened meanwhile has just been checked.
      if (!asked.has(session.id)) continue;
      if (epochs.get(session.id) !== session.epoch) stream.abort(sessionEnded());
      else if (session.expiresAt !== null && session.expiresAt.getTime() <= Date.now()) {
        stream.abort(new Unauthenticated("auth.tokenExpired", "The access token has expired. Refresh it."));
      }
    }
  }

  return {
    open(principal) {
      if (isClosing) {
        throw new Unavailable("server.unavailable", "The server is about to end. Try again shortly.", {
          retryAfterSeconds: 1,
        });
      }
      const stream = new AbortController();
      // A script is in this process; it has no session that could end, and nobody to protect the process from.
      if (principal.kind !== "user" || principal.session === null) {
        return { signal: stream.signal, close: () => undefined };
      }
      const { userId, session } = principal;
      const taken = [...open.values()].filter((other) => other.userId === userId).length;
      if (taken >= maxPerUser) {
        throw new LimitReached(
          "stream.limitReached",
          `You have ${taken} open streams, and that is as many as there may be. Close one first.`,
        );
      }
      open.set(stream, { userId, session });
      lookSoon();
      return { signal: stream.signal, close: () => void open.delete(stream) };
    },
    async [Symbol.asyncDispose]() {
      isClosing = true;
      clearTimeout(timer);
      // The default reason: an abort ends a stream without the word that there is nothing more to come.
      for (const stream of open.keys()) stream.abort();
      await looking;
    },
  };
}
