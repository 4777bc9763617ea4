import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";

import type { CreatedInstance } from "@minimcp/client";
import { expect, test } from "vitest";

// @boundaries-ignore What the tests of all rooms share belongs to no room.
import { echo } from "../../../test/support/instances.ts";
import type { ProductStatus } from "../src/supervisor/product-status.ts";
import { Machine } from "./support/machine.ts";
import { mountSmallDisk } from "./support/small-disk.ts";
import { until } from "./support/until.ts";

/*
 * The disk of the logs is full, in reality.
 */

const password = "four unrelated words together";

test(
  "with no room for its logs the product serves on, says so once, and logs again when there is room",
  { timeout: 120_000 },
  async ({ skip }) => {
    await using resources = new AsyncDisposableStack();
    const machine = await Machine.create();
    const logs = join(machine.home, "logs");
    await mkdir(logs, { recursive: true });
    const disk = await mountSmallDisk(logs);
    if (disk === undefined) {
      await machine[Symbol.asyncDispose]();
      return skip("this process may not mount a disk of its own");
    }
    resources.use(machine);
    resources.use(disk);
    const product = await machine.start();
    resources.defer(async () => {
      await machine.run(["stop"]);
    });
    const stdin = `${password}\n`;
    await machine.run(["admin", "create", "--email", "ada@example.com", "--password-stdin"], { stdin });
    const url = product.ready.api.url ?? "";
    await machine.json(["login", "--url", url, "--email", "ada@example.com", "--password-stdin"], { stdin });
    const serve = async (): Promise<CreatedInstance> => {
      const created = await machine.json<CreatedInstance>(["run", "everything", "--for", "5m"]);
      await echo({ endpoint: created.endpoint, token: created.accessToken });
      return created;
    };

    await disk.fill();
    for (let made = 0; made < 3; made += 1) await serve();
    const said = "the log of the worker cannot be written (ENOSPC)";
    await until("it is said", () => product.stderr().includes(said));
    const status = await machine.json<ProductStatus>(["status"]);
    expect(status).toMatchObject({ state: "ready", gateway: { restarts: 0, logTrouble: "ENOSPC" } });
    expect((await machine.run(["status"])).stdout).toContain("its log cannot be written (ENOSPC)");
    expect((await machine.run(["doctor"])).stdout).toMatch(/logs\.written.*gateway: ENOSPC/);

    // What serves is started again with a log that cannot be written from its first line on.
    process.kill(status.gateway.pid ?? 0, "SIGKILL");
    await until(
      "the worker serves again",
      async () => {
        const { gateway } = await machine.json<ProductStatus>(["status"]);
        return gateway.restarts > 0 && gateway.state === "ready";
      },
      60_000,
    );
    await serve();
    expect(product.stderr().split(said).length - 1).toBe(2);

    await disk.clear();
    const { instance } = await serve();
    await until("it is logged again", async () =>
      (await readFile(join(logs, "worker.log"), "utf8")).includes(instance.id),
    );
    await until("that is said too", () =>
      product.stderr().includes("the log of the worker is written again"),
    );
    expect((await machine.json<ProductStatus>(["status"])).gateway.logTrouble).toBeNull();
  },
);
