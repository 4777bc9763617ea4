/**
 * The attack: a sandbox that is there today and gone tomorrow. Whoever can take bubblewrap away, or start the product as
 * another user, must not get instances that run without it unnoticed.
 */
import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { pino } from "pino";
import { expect, onTestFinished, test } from "vitest";

// @boundaries-ignore What the tests of all rooms share belongs to no room.
import { makeToolPath } from "../../../test/support/tool-path.ts";
import { readWorkerConfig, type WorkerConfig } from "../src/env.ts";
import { openNodePool, refuseVisibleHome } from "../src/node-pool.ts";

const log = pino({ level: "silent" });

async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "mn-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** A worker's settings on a host without bubblewrap. */
async function configWithoutBubblewrap(
  home: string,
  environment: Record<string, string> = {},
): Promise<WorkerConfig> {
  const tools = await makeToolPath(await temporaryDirectory(), ["bwrap"]);
  return config(home, { SANDBOX_TOOL_PATH: tools, ...environment });
}

function config(home: string, environment: Record<string, string> = {}): WorkerConfig {
  return readWorkerConfig({
    MINIMCP_HOME: home,
    MASTER_KEY: "8f1d7c02a9b3e45566778812cdef90ab13579bdf02468ace1f2e3d4c5b6a7988",
    DATABASE_URL_WORKER: "postgres://minimcp_worker:secret@localhost/unused?host=%2Funused",
    ...environment,
  });
}

async function levelOf(settings: WorkerConfig): Promise<string> {
  await using pool = await openNodePool(settings, log);
  return pool.isolation.level;
}

test("a home that has run in a sandbox refuses to run without one, and says how to accept it", async () => {
  const home = await temporaryDirectory();
  const best = await levelOf(config(home));
  expect(["strict", "contained"]).toContain(best);

  const refused = openNodePool(await configWithoutBubblewrap(home), log);
  await expect(refused).rejects.toMatchObject({ reason: "isolationUnavailable" });
  await expect(refused).rejects.toThrow(new RegExp(`has run at ${best} before.*MINIMUM_ISOLATION`));

  const accepted = await configWithoutBubblewrap(home, { MINIMUM_ISOLATION: "none" });
  expect(["hardened", "none"]).toContain(await levelOf(accepted));
});

test("a home that began without a sandbox keeps the one it gets later", async () => {
  const home = await temporaryDirectory();
  expect(["hardened", "none"]).toContain(await levelOf(await configWithoutBubblewrap(home)));
  expect(["strict", "contained"]).toContain(await levelOf(config(home)));
  await expect(openNodePool(await configWithoutBubblewrap(home), log)).rejects.toThrow(/before/);
});

test("ISO-18: production without bubblewrap opens no pool, for nothing below strict is accepted unless it is named", async () => {
  const home = await temporaryDirectory();
  const production = { MINIMCP_MODE: "production", TRUSTED_PROXIES: "127.0.0.1" };
  await expect(openNodePool(await configWithoutBubblewrap(home, production), log)).rejects.toThrow(
    /strict is required/,
  );
});

test("a home that a server of the same user could look into is refused, by a link to it too", async () => {
  const link = join(await temporaryDirectory(), "home");
  await symlink("/usr/share", link);
  for (const home of ["/usr/share", link]) {
    await expect(refuseVisibleHome(home, "contained")).rejects.toMatchObject({
      reason: "isolationUnavailable",
      message: expect.stringContaining("Choose another MINIMCP_HOME"),
    });
  }
  await refuseVisibleHome("/usr/share", "strict");
  await refuseVisibleHome(await temporaryDirectory(), "contained");
});
