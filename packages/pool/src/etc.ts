import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { RuntimeDirectory } from "./runtime-directory.ts";
import { stageContent } from "./stage.ts";

/** What a program asks the system about itself: who it is, where its home is, and what `localhost` means. */
const filesOf = (uid: number, gid: number): Record<string, string> => ({
  hosts: "127.0.0.1 localhost\n::1 localhost\n",
  passwd: `mcp:x:${uid}:${gid}::/tmp:/usr/sbin/nologin\n`,
  group: `mcp:x:${gid}:\n`,
});

/**
 * Stages the /etc of children inside namespaces, which names nobody but the child: once for each uid.
 *
 * @returns a function from the uid that is the child's alone, or undefined when it is the worker's own, to the staged
 *   directory.
 */
export function stageEtcByUid(runtime: RuntimeDirectory): (uid: number | undefined) => Promise<string> {
  const staged = new Map<number, Promise<string>>();
  return (slotUid) => {
    const uid = slotUid ?? process.getuid?.() ?? 0;
    const gid = slotUid ?? process.getgid?.() ?? 0;
    const known = staged.get(uid) ?? stageEtc(runtime, uid, gid);
    staged.set(uid, known);
    // A full disk now need not be one at the next start.
    known.catch(() => staged.delete(uid));
    return known;
  };
}

async function stageEtc(runtime: RuntimeDirectory, uid: number, gid: number): Promise<string> {
  const directory = join(runtime.scratch, `etc-${uid}`);
  try {
    await mkdir(directory);
    for (const [name, content] of Object.entries(filesOf(uid, gid)))
      await writeFile(join(directory, name), content);
    return await stageContent(runtime, "etc", directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
