import { createHash, randomBytes } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { chmod, link, lstat, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import { errorCode } from "../error-code.ts";
import { exitCode } from "../exit-code.ts";
import { Failure } from "../failure.ts";

/** The kernel cuts a socket's path after 107 bytes, on macOS after 103. */
const maxSocketPathBytes = 99;

/** The places in a home. */
export interface Home {
  path: string;
  secrets: string;
  /** Secrets on their way to a process that is starting. */
  handover: string;
  logs: string;
  lock: string;
  controlSocket: string;
}

export function homeAt(path: string): Home {
  const secrets = join(path, "secrets");
  return {
    path,
    secrets,
    handover: join(secrets, "handover"),
    logs: join(path, "logs"),
    lock: join(secrets, "start.lock"),
    controlSocket: chooseControlSocket(path),
  };
}

function chooseControlSocket(path: string): string {
  const inHome = join(path, "control.sock");
  if (Buffer.byteLength(inHome) <= maxSocketPathBytes) return inHome;
  const name = createHash("sha256").update(path).digest("hex").slice(0, 12);
  // The owner's, so that root finds it too.
  const owner = statSync(path, { throwIfNoEntry: false })?.uid ?? process.getuid?.() ?? 0;
  return join(`/tmp/minimcp-${owner}`, `control-${name}.sock`);
}

/**
 * Creates the home's directories, or corrects their modes.
 * @throws Failure when they are not this user's
 */
export async function prepareHome(home: Home): Promise<void> {
  await makeDirectory(home.path, 0o711);
  await makeDirectory(home.secrets, 0o700);
  await makeDirectory(home.logs, 0o750);
  await makeDirectory(dirname(home.controlSocket), 0o711);
}

/** Empties the handover, where a start that was killed may have left something. Only the holder of the lock may. */
export async function clearHandover(home: Home): Promise<void> {
  await rm(home.handover, { recursive: true, force: true });
  await makeDirectory(home.handover, 0o700);
}

async function makeDirectory(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode });
    const found = await lstat(path);
    // Below /tmp anybody could have put a directory or a link there first.
    if (!found.isDirectory() || found.uid !== process.getuid?.()) {
      throw new Failure(
        `${path} is not a directory of the user who starts MiniMCP. Start as its owner, or choose another MINIMCP_HOME.`,
        exitCode.configuration,
      );
    }
    if ((found.mode & 0o7777) !== mode) await chmod(path, mode);
  } catch (error) {
    if (error instanceof Failure) throw error;
    const code = errorCode(error);
    throw new Failure(
      `The directory ${path} cannot be used (${code}). Choose another MINIMCP_HOME, or correct its owner.`,
      exitCode.configuration,
    );
  }
}

/** The path of a secret that this home keeps: made at random once, and readable by its owner alone. */
export async function ensureSecret(home: Home, name: string, make: () => string): Promise<string> {
  const path = join(home.secrets, name);
  if (existsSync(path)) return path;
  // Linked into place, so that the file is never half written; on disk before anything is sealed with it.
  const draft = `${path}.${randomBytes(4).toString("hex")}`;
  await writeFile(draft, `${make()}\n`, { mode: 0o600, flag: "wx", flush: true });
  try {
    await link(draft, path);
  } catch (error) {
    if (errorCode(error) !== "EEXIST") throw error;
  } finally {
    await rm(draft);
  }
  return path;
}

/** @throws Failure when there is none yet */
export async function readSecret(home: Home, name: string): Promise<string> {
  const path = join(home.secrets, name);
  try {
    return (await readFile(path, "utf8")).trim();
  } catch (error) {
    throw new Failure(
      `The secret ${path} cannot be read (${errorCode(error)}). Use the user and the settings of \`minimcp start\`.`,
    );
  }
}
