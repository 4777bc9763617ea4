// The attack: a server gets a process to hang in the kernel, where SIGKILL does not reach it, and so blocks its uid.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

import { expect, it } from "vitest";

import { processesOfUid, waitUntil } from "../src/processes.ts";
import { UidSlots } from "../src/uid-slots.ts";
import { isRoot, makeTestDirectory } from "./support/host.ts";

const firstUid = 23_300;
const setpriv = "/usr/bin/setpriv";

it.runIf(isRoot)("a uid whose process survives is passed over, at once the next time", async () => {
  await using directory = await makeTestDirectory();
  const lockDirectory = join(directory.path, "uid");
  // In place of a shell that would kill: whatever runs under the uid survives.
  const slots = await UidSlots.open({ firstUid, count: 3, lockDirectory }, { setpriv, sh: "/usr/bin/true" });
  const first = await slots.acquire();
  expect(first.uid).toBe(firstUid);
  await first[Symbol.asyncDispose]();

  const id = String(firstUid);
  const survivor = spawn(setpriv, ["--reuid", id, "--regid", id, "--clear-groups", "/usr/bin/sleep", "60"]);
  try {
    await waitUntil(async () => (await processesOfUid(firstUid)).length > 0, 5_000);
    await using second = await slots.acquire();
    expect(second.uid).toBe(firstUid + 1);
    const startedAt = performance.now();
    await using third = await slots.acquire();
    expect(third.uid).toBe(firstUid + 2);
    expect(performance.now() - startedAt).toBeLessThan(4_000);
    await expect(slots.acquire()).rejects.toMatchObject({ reason: "noCapacity" });
  } finally {
    survivor.kill("SIGKILL");
    await once(survivor, "exit");
  }
});
