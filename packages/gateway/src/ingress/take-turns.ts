import { setImmediate } from "node:timers/promises";

/**
 * Runs pieces of work that hold the event loop one after the other, and lets everything else have the loop in between:
 * many that arrive together would otherwise hold up every call of everybody, and the worker's leases with them.
 *
 * @returns a function that runs work in its turn
 */
export function takeTurns(): <T>(work: () => T) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const turn = last.then(() => setImmediate()).then(work);
    last = turn.catch(() => {});
    return turn;
  };
}
