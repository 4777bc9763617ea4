import { open, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

const chunkBytes = 16 * 1024 * 1024;

/** How a text may lie in memory or in a file. */
function formsOf(secret: string): Buffer[] {
  const bytes = Buffer.from(secret);
  const texts = [secret, bytes.toString("hex"), bytes.toString("base64").replace(/=+$/, "")];
  return [...texts.map((text) => Buffer.from(text)), Buffer.from(secret, "utf16le")];
}

/** The mappings of a process that hold a secret, of all that can be read: proc_pid_maps(5), proc_pid_mem(5). */
export async function searchMemory(pid: number, secret: string): Promise<string[]> {
  const forms = formsOf(secret);
  const overlap = Math.max(...forms.map((form) => form.length)) - 1;
  const maps = (await readFile(`/proc/${pid}/maps`, "utf8")).trim().split("\n");
  // A zombie has none left.
  if (maps[0] === "") return [];
  await using memory = await open(`/proc/${pid}/mem`);
  const found: string[] = [];
  const chunk = Buffer.alloc(chunkBytes);
  for (const line of maps) {
    const [range = "", mode = ""] = line.split(" ");
    const [start = 0n, end = 0n] = range.split("-").map((address) => BigInt(`0x${address}`));
    if (!mode.startsWith("r")) continue;
    for (let at = start; at < end; at += BigInt(chunkBytes - overlap)) {
      const length = Number(end - at < chunkBytes ? end - at : BigInt(chunkBytes));
      // What the kernel shows of itself cannot be read in this way.
      const read = await memory.read(chunk, 0, length, at).catch(() => undefined);
      if (read === undefined || read.bytesRead === 0) break;
      const part = chunk.subarray(0, read.bytesRead);
      if (forms.some((form) => part.includes(form))) found.push(line);
    }
  }
  return [...new Set(found)];
}

/** The files below a directory that hold a secret, or have it in their name. */
export async function searchFiles(directory: string, secret: string): Promise<string[]> {
  const forms = formsOf(secret);
  const found: string[] = [];
  for (const file of await readdir(directory, { recursive: true, withFileTypes: true })) {
    const path = join(file.parentPath, file.name);
    const content = file.isFile() ? await readFile(path).catch(() => Buffer.alloc(0)) : Buffer.alloc(0);
    if (forms.some((form) => content.includes(form) || file.name.includes(form.toString()))) found.push(path);
  }
  return found;
}
