import { expect, test } from "vitest";
import { takeTurns } from "../src/ingress/take-turns.ts";

/** Attack: many requests that are dear to read, completed at the same moment. */

test("work that comes together runs in order, each in a turn of the event loop of its own", async () => {
  let loopTurn = 0;
  const count = (): void => {
    loopTurn++;
    counting = setImmediate(count);
  };
  let counting = setImmediate(count);
  const inTurn = takeTurns();
  const turns = await Promise.all([1, 2, 3].map((work) => inTurn(() => ({ work, loopTurn }))));
  clearImmediate(counting);
  expect(turns.map(({ work }) => work)).toEqual([1, 2, 3]);
  expect(new Set(turns.map((turn) => turn.loopTurn)).size).toBe(3);
});

test("work that fails keeps nobody else from a turn", async () => {
  const inTurn = takeTurns();
  const failing = inTurn(() => {
    throw new Error("not this one");
  });
  const next = inTurn(() => "the next");
  await expect(failing).rejects.toThrow("not this one");
  expect(await next).toBe("the next");
});
