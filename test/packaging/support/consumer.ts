import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { parse } from "yaml";

export const root = fileURLToPath(new URL("../../..", import.meta.url));
export const rootBin = join(root, "node_modules/.bin");
export const clientFolder = join(root, "packages/client");

/** A package of somebody else that has the client installed as its users get it: from the packed tarball. */
export interface Consumer extends AsyncDisposable {
  tarball: string;
  /** A path in the consumer's folder. */
  path(...parts: string[]): string;
  write(file: string, content: string): Promise<void>;
}

/**
 * Packs the client and installs it in a folder outside the workspace.
 * @param packages what else the consumer installs: names of the workspace's catalog, or `name@version`
 */
export async function createConsumer(packages: readonly string[] = []): Promise<Consumer> {
  await using resources = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "minimcp-packaging-"));
  resources.defer(() => rm(folder, { recursive: true, force: true }));
  const path = (...parts: string[]) => join(folder, ...parts);
  const write = async (file: string, content: string): Promise<void> => {
    await mkdir(dirname(path(file)), { recursive: true });
    await writeFile(path(file), content);
  };

  // Whoever runs the tests has built it already; this is for a file that is run by itself.
  await runOrFail(join(rootBin, "turbo"), ["run", "build", "--filter=@minimcp/client"], root);
  await runOrFail(join(rootBin, "pnpm"), ["pack", "--out", path("minimcp-client.tgz")], clientFolder);
  await write("package.json", JSON.stringify({ private: true, type: "module" }));
  const catalog = await readCatalog();
  const wanted = packages.map((name) => (Object.hasOwn(catalog, name) ? `${name}@${catalog[name]}` : name));
  await runOrFail(
    "npm",
    ["install", "--no-audit", "--no-fund", path("minimcp-client.tgz"), ...wanted],
    folder,
  );
  const acquired = resources.move();
  return {
    tarball: path("minimcp-client.tgz"),
    path,
    write,
    [Symbol.asyncDispose]: () => acquired.disposeAsync(),
  };
}

/** What a careful consumer compiles with: declarations of libraries are checked too. */
export const compilerOptions = {
  module: "nodenext",
  target: "es2022",
  lib: ["es2022", "dom"],
  types: [],
  strict: true,
  skipLibCheck: false,
};

/** Runs a program with the workspace's own Node, and gives what it printed whether it succeeded or not. */
export async function run(file: string, args: readonly string[], cwd: string) {
  const path = [rootBin, process.env["PATH"]].join(delimiter);
  const options = { cwd, env: { ...process.env, PATH: path, NO_COLOR: "1" }, timeout: 120_000 };
  try {
    const { stdout, stderr } = await promisify(execFile)(file, args, options);
    return { succeeded: true, printed: stdout + stderr };
  } catch (error) {
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    return { succeeded: false, printed: `${String(error)}\n${stdout}${stderr}` };
  }
}

/** @throws with what the program printed */
export async function runOrFail(file: string, args: readonly string[], cwd: string): Promise<string> {
  const { succeeded, printed } = await run(file, args, cwd);
  if (!succeeded) throw new Error(printed);
  return printed;
}

/** The workspace's pins. */
async function readCatalog(): Promise<Record<string, string>> {
  const workspace = parse(await readFile(join(root, "pnpm-workspace.yaml"), "utf8")) as {
    catalog: Record<string, string>;
  };
  return workspace.catalog;
}
