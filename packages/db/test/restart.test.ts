import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";

import { sql } from "drizzle-orm";
import { expect, test } from "vitest";

import {
  type DatabaseActor,
  DatabaseUnavailable,
  type EmbeddedPostgres,
  openDatabase,
  startEmbeddedPostgres,
} from "../src/index.ts";
import { readPostmasterPid } from "./support/supervisor.ts";
import { until } from "./support/until.ts";

const system: DatabaseActor = { userId: null, scope: "system" };

test("a server that restarts and crashes under use: bounded errors, nothing twice, nothing confirmed and lost", async () => {
  const home = await mkdtemp("/tmp/minimcp-restart-");
  const options = { home, closedHomeRoot: join(home, "closed") };
  let server: EmbeddedPostgres = await startEmbeddedPostgres(options);
  try {
    await using database = openDatabase({
      url: server.ownerUrl(),
      applicationName: "restart.test",
      maxConnections: 4,
    });
    await database.as(system, (tx) => tx.execute(sql`create table marks (id int primary key)`));

    const confirmed: number[] = [];
    const uncertain: number[] = [];
    const unexpected: unknown[] = [];
    let next = 0;
    const end = new AbortController();
    async function writeMarks(): Promise<void> {
      while (!end.signal.aborted) {
        const id = (next += 1);
        try {
          await database.as(system, (tx) => tx.execute(sql`insert into marks values (${id})`));
          confirmed.push(id);
        } catch (error) {
          if (!(error instanceof DatabaseUnavailable)) unexpected.push(error);
          else if (!error.retryable) uncertain.push(id);
        }
      }
    }
    async function untilItWrites(): Promise<void> {
      const before = confirmed.length;
      await until("marks are written", () => confirmed.length > before + 20);
    }

    const writers = Promise.all(Array.from({ length: 6 }, writeMarks));
    await untilItWrites();
    await server.stop();
    server = await startEmbeddedPostgres(options);
    await untilItWrites();
    process.kill(await readPostmasterPid(server.dataDirectory), "SIGKILL");
    await server.exited;
    server = await startEmbeddedPostgres(options);
    await untilItWrites();
    end.abort();
    await writers;

    expect(unexpected).toEqual([]);
    const { rows } = await database.as(system, (tx) =>
      tx.execute<{ id: number }>(sql`select id from marks order by id`),
    );
    const written = new Set(rows.map(({ id }) => id));
    expect(confirmed.filter((id) => !written.has(id))).toEqual([]);
    const allowed = new Set([...confirmed, ...uncertain]);
    expect([...written].filter((id) => !allowed.has(id))).toEqual([]);
  } finally {
    await server.stop();
    await rm(home, { recursive: true, force: true });
  }
});
