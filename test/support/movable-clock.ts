import { existsSync } from "node:fs";
import { chmod, mkdtemp, rename, rm, writeFile } from "node:fs/promises";

/** The wall clock of some processes, as it is set by hand. Their monotonic clock goes on, as it does in reality. */
export interface MovableClock extends AsyncDisposable {
  /** What a process is started with that is to go by this clock. */
  environment: Record<string, string>;
  /** @param offsetSeconds how far from the true time it is from now on, negative for behind */
  set(offsetSeconds: number): Promise<void>;
}

const triplets: Partial<Record<NodeJS.Architecture, string>> = {
  x64: "x86_64-linux-gnu",
  arm64: "aarch64-linux-gnu",
};
const library = `/usr/lib/${triplets[process.arch]}/faketime/libfaketimeMT.so.1`;

/** Whether clocks can be moved here; tests that need it say so in one line where they cannot. */
export function canMoveClocks(): boolean {
  if (existsSync(library)) return true;
  process.stderr.write("No clock is moved: libfaketime is missing (sudo apt-get install libfaketime).\n");
  return false;
}

/** Makes a clock that is right at first. */
export async function makeMovableClock(): Promise<MovableClock> {
  const directory = await mkdtemp("/tmp/minimcp-clock-");
  // A database server that root starts runs as somebody else.
  await chmod(directory, 0o755);
  const path = `${directory}/offset`;
  async function set(offsetSeconds: number): Promise<void> {
    // A process that reads half of it would see a time that nobody set.
    await writeFile(`${path}.new`, `${offsetSeconds < 0 ? "" : "+"}${offsetSeconds}\n`);
    await rename(`${path}.new`, path);
  }
  await set(0);
  return {
    environment: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: path,
      // The file is read at each look at the clock, not once in ten seconds.
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      // Or it leaves its semaphores behind when its process is killed.
      FAKETIME_DISABLE_SHM: "1",
    },
    set,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}
