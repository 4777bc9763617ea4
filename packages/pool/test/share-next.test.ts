import { expect, it } from "vitest";

import { shareNext } from "../src/share-next.ts";

it("whoever asks while a run is under way shares one that begins afterwards, also behind one that fails", async () => {
  const runs: PromiseWithResolvers<string>[] = [];
  const ask = shareNext(() => {
    const run = Promise.withResolvers<string>();
    runs.push(run);
    return run.promise;
  });
  const first = ask();
  expect(ask()).toBe(first);
  await expect.poll(() => runs.length).toBe(1);
  const late = [ask(), ask()];
  expect(runs).toHaveLength(1);
  runs[0]?.reject(new Error("first"));
  await expect(first).rejects.toThrow("first");
  await expect.poll(() => runs.length).toBe(2);
  runs[1]?.resolve("second");
  expect(await Promise.all(late)).toEqual(["second", "second"]);
  expect(runs).toHaveLength(2);
});
