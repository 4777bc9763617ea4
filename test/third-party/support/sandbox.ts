import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { bundles } from "@minimcp/connectors";
import { nodePreload, permissionArgs, quietPermission } from "@minimcp/pool";

// @boundaries-ignore A broker in front of a recorded upstream: what its own tests have.
import { type Egress, openEgress } from "../../../packages/gateway/test/egress-harness.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const bwrap = "/usr/bin/bwrap";
/** Where pnpm puts all packages. */
export const packages = join(root, "node_modules");

export const hasSandbox = existsSync(bwrap);

export interface Sandbox extends AsyncDisposable {
  egress: Egress;
  /** What a worker tells the programs inside. */
  env: { MCP_EGRESS_SOCKET: string; MCP_EGRESS_CA_FILE: string; NODE_OPTIONS: string };
  /**
   * The command line that runs one of Node's inside: no network, of the host only what packages need to be read, and Node's
   * permission model as the pool has it.
   */
  wrap: (commandLine: readonly string[], bundle: string) => readonly [string, ...string[]];
}

export interface SandboxOptions {
  /** Files of the test's own that are shown inside, by the path they have there. */
  files?: (egress: Egress) => Readonly<Record<string, string>>;
  /** Whether the packages of the repository are there. Default true. */
  hasPackages?: boolean;
}

/** A sandbox as the pool builds it, in its main strokes, with a real broker as its only way out. */
export async function openSandbox(
  upstream: Parameters<typeof openEgress>[0],
  options: Parameters<typeof openEgress>[1] = {},
  { files: filesFor = () => ({}), hasPackages = true }: SandboxOptions = {},
): Promise<Sandbox> {
  await using stack = new AsyncDisposableStack();
  const egress = stack.use(await openEgress(upstream, options));
  const directory = await mkdtemp(join(tmpdir(), "mcp-"));
  stack.defer(() => rm(directory, { recursive: true }));
  const { socketPath, caCertificate } = egress.broker;
  const files: [inside: string, content: string][] = [
    ["/run/mcp/ca.pem", caCertificate],
    ["/run/mcp/preload.cjs", nodePreload],
    ...Object.entries(filesFor(egress)),
  ];
  const binds: string[] = [];
  for (const [index, [inside, content]] of files.entries()) {
    const path = join(directory, String(index));
    await writeFile(path, content);
    binds.push("--ro-bind", path, inside);
  }
  const shown = hasPackages ? [packages, join(root, "test/third-party")] : [];
  const permission = permissionArgs({ read: ["/app", "/run/mcp", "/tmp", ...shown], write: ["/tmp"] });
  const start = `--unshare-all --unshare-user --disable-userns --ro-bind /usr /usr --symlink usr/lib /lib
    --symlink usr/lib64 /lib64 --symlink usr/bin /bin --proc /proc --dev /dev --tmpfs /tmp --chdir /app
    --ro-bind ${process.execPath} ${process.execPath}
    --ro-bind ${socketPath} /run/mcp/egress.sock`.split(/\s+/);
  const end = "--remount-ro / --cap-drop ALL --die-with-parent --new-session --".split(" ");
  const resources = stack.move();
  return {
    egress,
    env: {
      MCP_EGRESS_SOCKET: "/run/mcp/egress.sock",
      MCP_EGRESS_CA_FILE: "/run/mcp/ca.pem",
      NODE_OPTIONS: `${quietPermission} --require /run/mcp/preload.cjs`,
    },
    wrap: ([node = process.execPath, ...args], bundle) => [
      bwrap,
      "--ro-bind",
      bundle,
      "/app",
      ...start,
      // Behind the sandbox's own /tmp, which would hide a repository that lies there.
      ...shown.flatMap((path) => ["--ro-bind", path, path]),
      ...binds,
      ...end,
      node,
      ...permission,
      ...args,
    ],
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** Runs a program under Node in the sandbox, with the preload before it, and returns what it printed. */
export async function runWithPreload(
  sandbox: Sandbox,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { directory } = bundles.everything;
  const [file, ...rest] = sandbox.wrap([process.execPath, ...args], directory);
  const { stdout } = await promisify(execFile)(file, rest, {
    timeout: 60_000,
    env: {
      ...sandbox.env,
      NODE_OPTIONS: `${sandbox.env.NODE_OPTIONS} --require /app/preload.cjs`,
      NODE_EXTRA_CA_CERTS: sandbox.env.MCP_EGRESS_CA_FILE,
      ...env,
    },
  });
  return stdout;
}

/** The path of a file of an installed package, links followed: pnpm's are only valid inside the repository. */
export function fileOf(name: string, path: string): string {
  return join(dirname(fileURLToPath(import.meta.resolve(`${name}/package.json`))), path);
}
