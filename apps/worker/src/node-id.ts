import { randomUUID } from "node:crypto";
import { link, mkdir, readFile, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** The name under which a node finds what it held before; made once, kept in its home. */
export async function readNodeId(home: string): Promise<string> {
  const path = join(home, "node-id");
  await mkdir(home, { recursive: true });
  // Written aside and linked into place: two first starts agree on one, and a crash leaves no empty file.
  const draft = `${path}.${process.pid}`;
  await writeFile(draft, `${randomUUID()}\n`, { mode: 0o600 });
  try {
    await link(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await unlink(draft);
  }
  return (await readFile(path, "utf8")).trim();
}
