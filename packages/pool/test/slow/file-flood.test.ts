// The attack: the kernel takes seconds to clear away what a server left, in which its processes survive SIGKILL.
import { existsSync } from "node:fs";

import { expect, it } from "vitest";

import { openPool } from "../../src/index.ts";
import { fixtureServer, hasNamespaces, isRoot, makeTestDirectory, runInside } from "../support/host.ts";

it.runIf(hasNamespaces)(
  "a child that made a million files gives back its socket and its uid, however long it takes to die",
  async () => {
    await using directory = await makeTestDirectory();
    await using pool = await openPool({
      ...(await directory.options()),
      slots: { firstUid: 23_200, count: 1 },
    });
    const server = { bundleDirectory: fixtureServer, entry: "server.js", graceMs: 100 };
    const child = await pool.start({ ...server, id: "files" });
    const fill =
      "for my $d (1..4) { fork and next; mkdir qq(/tmp/$d); for my $i (1..400000) { open(F, q(>), qq(/tmp/$d/$i)) or last } exit } 1 while wait > 0;";
    await runInside(
      child.socketPath,
      `globalThis.filling = spawn("/usr/bin/perl", ["-e", ${JSON.stringify(fill)}], { stdio: "ignore" }); return null`,
    );
    await expect
      .poll(() => runInside(child.socketPath, `return globalThis.filling.exitCode`), { timeout: 60_000 })
      .toBe(0);
    await child.stop();
    expect(existsSync(child.socketPath)).toBe(false);
    const next = await pool.start({ ...server, id: "next" });
    expect(next.uid).toBe(isRoot ? 23_200 : undefined);
  },
  90_000,
);
