import { mkdtemp, readdir, rm } from "node:fs/promises";

/** A runtime directory of a test's own, so that what is left in it is the test's own doing. */
export interface TestRuntime extends AsyncDisposable {
  /** Short: sockets lie below it. */
  path: string;
  /** The sockets of the children of every worker that runs in it. */
  sockets(): Promise<string[]>;
}

export async function makeRuntimeDirectory(): Promise<TestRuntime> {
  const path = await mkdtemp("/tmp/mm-");
  return {
    path,
    sockets: async () => {
      const found = await readdir(`${path}/o`, { recursive: true });
      return found.filter((name) => name.endsWith(".sock"));
    },
    [Symbol.asyncDispose]: async () => {
      const left = await readdir(`${path}/o`);
      await rm(path, { recursive: true, force: true });
      if (left.length > 0) throw new Error(`Left in the runtime directory: ${left.join(", ")}.`);
    },
  };
}
