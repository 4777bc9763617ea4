import { type Database, type DatabaseActor, openListener, type ListenerOptions } from "@minimcp/db";
import { instanceLogLines, instances, receipts } from "@minimcp/db/schema";
import { and, desc, eq, sql } from "drizzle-orm";

import { isLive } from "../lease/lease.ts";
import { SharedReader } from "../stream/shared-reader.ts";
import { instanceColumns, type InstanceView, viewInstance, type ViewSettings } from "./instance-view.ts";
import {
  logLineColumns,
  logStart,
  maxKeptLogBytes,
  maxKeptLogLines,
  type StoredLogLine,
} from "./log-line.ts";

/** What is kept of an instance's output. */
export interface LogWindow {
  /** In their order, the newest last. */
  lines: readonly StoredLogLine[];
  /** Whether nothing will follow. */
  isOver: boolean;
}

/**
 * What users look at while it changes. Whoever follows gets what is there at once and then each change, until the signal
 * aborts; then the signal's reason is thrown.
 */
export interface InstanceFeed extends AsyncDisposable {
  /** Null when it is not there, or not the user's. */
  followInstance(userId: string, id: string, signal: AbortSignal): AsyncGenerator<InstanceView | null, void>;
  /** Those that are not over, newest first, at most 200. */
  followInstances(userId: string, signal: AbortSignal): AsyncGenerator<InstanceView[], void>;
  /** Null when the instance is not there, or not the user's. */
  followLog(userId: string, id: string, signal: AbortSignal): AsyncGenerator<LogWindow | null, void>;
}

export interface InstanceFeedOptions {
  db: Database;
  /** The database that `db` is connected to: changes are heard of on a connection of its own. */
  database: Pick<ListenerOptions, "url" | "applicationName" | "tls">;
  settings: ViewSettings;
  /** Told of a failed read. It is repeated. */
  onError: (error: unknown) => void;
}

const maxFollowedInstances = 200;

const channels = { watch: "minimcp_watch", log: "minimcp_log" } as const;

/**
 * Opens the feed of a process: one connection that listens, however many follow. Reads are shared among those who look
 * at the same thing as the same user, and run as that user, behind the row policies.
 */
export function openInstanceFeed({ db, database, settings, onError }: InstanceFeedOptions): InstanceFeed {
  const closing = new AbortController();
  const reading = {
    instance: new Map<string, SharedReader<InstanceView | null>>(),
    instances: new Map<string, SharedReader<InstanceView[]>>(),
    log: new Map<string, SharedReader<LogWindow | null>>(),
  };

  async function* follow<T>(
    readers: Map<string, SharedReader<T>>,
    key: string,
    read: (last: T | undefined) => Promise<T>,
    signal: AbortSignal,
  ): AsyncGenerator<T, void> {
    const reader =
      readers.get(key) ??
      new SharedReader<T>({
        read,
        onError,
        closing: closing.signal,
        onIdle: () => readers.delete(key),
      });
    readers.set(key, reader);
    yield* reader.follow(signal);
  }

  function everyReader(): Pick<SharedReader<unknown>, "touch" | "settled">[] {
    return Object.values(reading).flatMap((readers) => [...readers.values()]);
  }

  const listener = openListener({
    ...database,
    channels: Object.values(channels),
    onNotification: (channel, key) => {
      reading.log.get(key)?.touch();
      if (channel !== channels.watch) return;
      reading.instance.get(key)?.touch();
      reading.instances.get(key.split("/", 1)[0] ?? "")?.touch();
    },
    onStateChange: (state) => {
      if (state.name === "listening") for (const reader of everyReader()) reader.touch();
    },
  });

  return {
    followInstance: (userId, id, signal) =>
      follow(
        reading.instance,
        `${userId}/${id}`,
        async () => {
          const [row] = await db.as(asUser(userId), (tx) =>
            tx
              .select(instanceColumns)
              .from(instances)
              .innerJoin(receipts, eq(receipts.instanceId, instances.id))
              .where(and(eq(instances.id, id), eq(instances.userId, userId))),
          );
          return row === undefined ? null : viewInstance(row, settings);
        },
        signal,
      ),
    followInstances: (userId, signal) =>
      follow(
        reading.instances,
        userId,
        async () => {
          const rows = await db.as(asUser(userId), (tx) =>
            tx
              .select(instanceColumns)
              .from(instances)
              .innerJoin(receipts, eq(receipts.instanceId, instances.id))
              .where(and(eq(instances.userId, userId), isLive))
              .orderBy(desc(instances.createdAt), desc(instances.id))
              .limit(maxFollowedInstances),
          );
          return rows.map((row) => viewInstance(row, settings));
        },
        signal,
      ),
    followLog: (userId, id, signal) =>
      follow(
        reading.log,
        `${userId}/${id}`,
        (last) => readLogWindow(db, userId, id, last?.lines ?? []),
        signal,
      ),
    async [Symbol.asyncDispose]() {
      closing.abort();
      await listener[Symbol.asyncDispose]();
      await Promise.all(everyReader().map((reader) => reader.settled()));
    },
  };
}

function asUser(userId: string): DatabaseActor {
  return { userId, scope: "user" };
}

/** Reads what has been added behind the known lines. */
async function readLogWindow(
  db: Database,
  userId: string,
  instanceId: string,
  known: readonly StoredLogLine[],
): Promise<LogWindow | null> {
  return await db.as(asUser(userId), async (tx) => {
    const owned = and(eq(instances.id, instanceId), eq(instances.userId, userId));
    // First whether it is over, then the lines: what it wrote before its end is there once the end is.
    const [instance] = await tx
      .select({ isLive: sql<boolean>`${isLive}` })
      .from(instances)
      .where(owned);
    if (instance === undefined) return null;
    const { fence, position } = known.at(-1) ?? logStart;
    const added = await tx
      .select(logLineColumns)
      .from(instanceLogLines)
      .where(
        and(
          eq(instanceLogLines.instanceId, instanceId),
          sql`(${instanceLogLines.fence}, ${instanceLogLines.position}) > (${fence}, ${position})`,
        ),
      )
      .orderBy(desc(instanceLogLines.fence), desc(instanceLogLines.position))
      .limit(maxKeptLogLines);
    const lines = added.length === 0 ? known : newest([...known, ...added.toReversed()]);
    return { lines, isOver: !instance.isLive };
  });
}

function newest(lines: readonly StoredLogLine[]): readonly StoredLogLine[] {
  let bytes = 0;
  const first = lines.findLastIndex((line, index) => {
    bytes += Buffer.byteLength(line.text);
    return bytes > maxKeptLogBytes || lines.length - index > maxKeptLogLines;
  });
  return lines.slice(first + 1);
}
