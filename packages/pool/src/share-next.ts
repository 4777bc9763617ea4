/**
 * For something that costs as much for one as for all: whoever asks while a run is under way shares the next one, which
 * begins after they asked and so misses nothing that they know of.
 */
export function shareNext<Result>(run: () => Promise<Result>): () => Promise<Result> {
  let latest: Promise<Result> | undefined;
  let waiting: Promise<Result> | undefined;
  return () => {
    if (waiting !== undefined) return waiting;
    const begin = (): Promise<Result> => {
      waiting = undefined;
      return run();
    };
    waiting = latest === undefined ? Promise.resolve().then(begin) : latest.then(begin, begin);
    latest = waiting;
    return waiting;
  };
}
