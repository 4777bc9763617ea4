import { execFile } from "node:child_process";
import { once } from "node:events";
import { access, chmod, mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { homedir } from "node:os";
import { delimiter, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { afterAll, beforeAll, expect, test } from "vitest";

import { copyCheckout } from "../support/copy-checkout.ts";
import { send } from "../support/instances.ts";
import { Terminal } from "../support/terminal.ts";

/*
 * README.md as a newcomer follows it: everything on the page that can be run, from top to bottom, typed into a terminal
 * in a clone where nothing is installed, by somebody whose home directory is empty. What to type is read from the page;
 * what must be seen stands here.
 *
 * Given are two things that a newcomer does not have: what npm and pnpm downloaded for this installation, so that nothing
 * is fetched again over a network that may be slow, and ports of its own. Claude Desktop, Cursor and VS Code cannot be
 * had here, nor can mcp-remote, which the first one starts: their configuration is compared with what the product prints.
 */

const root = fileURLToPath(new URL("../..", import.meta.url));
const page = await readFile(join(root, "README.md"), "utf8");

interface Step {
  /** A command line; of a block of another kind, the bold words above it. */
  name: string;
  text: string;
}

const steps: Step[] = [...page.matchAll(/(?:^\*\*(.+?)\*\*.*\n\n)?^```(\w+)\n([^]*?)^```$/gm)].flatMap(
  ([, title = "", language = "", text = ""]) =>
    language === "sh"
      ? text
          .trim()
          .split("\n")
          .map((line) => ({ name: line, text: line }))
      : [{ name: title, text }],
);

const runProgram = promisify(execFile);
const password = "four unrelated words together";
const runCommand = "npm run minimcp -- run everything --for 60m";

interface Instance {
  id: string;
  endpoint: string;
  token: string;
}

let folder: string;
let clone: string;
let environment: Record<string, string>;
let ports: Record<"API_PORT" | "GATEWAY_PORT" | "DASHBOARD_PORT", string>;
/** Where `npm start` runs. */
let product: Terminal | undefined;
/** What the page's `run` creates. */
let instance: Instance;

beforeAll(async () => {
  folder = await mkdtemp("/tmp/mm-");
  // Root's database server runs as another user, who must be able to pass.
  await chmod(folder, 0o711);
  clone = join(folder, "minimcp");
  await copyCheckout(clone);
  await mkdir(join(folder, "home"));
  ports = {
    API_PORT: await findFreePort(),
    GATEWAY_PORT: await findFreePort(),
    DASHBOARD_PORT: await findFreePort(),
  };
  const installed = await readFile(join(root, "node_modules/.modules.yaml"), "utf8");
  environment = {
    // Without what this run has put ahead: the newcomer has no pnpm, and the machine's own Node.
    PATH: (process.env["PATH"] ?? "")
      .split(delimiter)
      .filter((path) => !path.startsWith(root))
      .join(delimiter),
    HOME: join(folder, "home"),
    TERM: "xterm-256color",
    RUNTIME_DIRECTORY: join(folder, "r"),
    npm_config_store_dir: (JSON.parse(installed) as { storeDir: string }).storeDir,
    npm_config_cache: process.env["npm_config_cache"] ?? join(homedir(), ".npm"),
    npm_config_prefer_offline: "true",
    // Which registry to use is for the machine to say.
    npm_config_userconfig: process.env["npm_config_userconfig"] ?? join(homedir(), ".npmrc"),
  };
});

afterAll(async () => {
  await product?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** By how a step begins: what is done with it, and what must be seen. */
const expectations: Record<string, (text: string) => Promise<void>> = {
  "npm start": async (command) => {
    product = openTerminal(command, ports);
    await product.waitFor(/^next: .*\n/m, 120_000);
    expect(product.text).toMatch(
      /^ready: api http:\/\/\S+ gateway http:\/\/\S+ dashboard http:\/\/\S+ isolation (strict|contained|hardened|none)$/m,
    );
    const link = /^next: .*: (http:\S+\/set-up#inv_\w+)$/m.exec(product.text)?.[1] ?? "";
    const answer = await fetch(link, { signal: AbortSignal.timeout(20_000) });
    expect(await answer.text()).toContain("Set up MiniMCP");
  },

  // Not run inside itself: what it would run is the very program that runs this file.
  "npm test": async () => {
    const { scripts } = JSON.parse(await readFile(join(clone, "package.json"), "utf8"));
    expect(scripts.test).toBe("exec node scripts/bootstrap.mjs test");
    const ask = `import { commands } from "./scripts/bootstrap/commands.mjs"; console.log(commands.test.run.join())`;
    const asked = await runProgram(process.execPath, ["--input-type=module", "--eval", ask], { cwd: clone });
    const [program = "", ...rest] = asked.stdout.trim().split(",");
    expect(rest).toEqual(["run"]);
    const vitest = await realpath(join(root, relative(clone, dirname(program))));
    expect(process.argv[1]).toContain(vitest);
  },

  "npm run minimcp -- admin create": async (command) => {
    await using terminal = openTerminal(command);
    await terminal.waitFor("? New password (at least 15 characters)", 20_000);
    terminal.type(password);
    await terminal.waitFor("? The same again", 20_000);
    terminal.type(password);
    expect(await terminal.ended, terminal.text).toBe(0);
    expect(terminal.text).toContain("created the administrator you@example.com");
    expect(terminal.text).not.toContain(password);
    expect(page).toContain(/^next: (.*)$/m.exec(terminal.text)?.[1]);
  },

  "npm run minimcp -- login": async (command) => {
    await using terminal = openTerminal(command);
    await terminal.waitFor("? Password", 20_000);
    terminal.type(password);
    expect(await terminal.ended, terminal.text).toBe(0);
    expect(terminal.text).toContain(`signed in at http://127.0.0.1:${ports.API_PORT} as you@example.com`);
    expect(terminal.text).not.toContain(password);
    expect(page).toContain(/^next: (.*)$/m.exec(terminal.text)?.[1]);
  },

  "npm run minimcp -- run": async (command) => {
    const shown = await type(command);
    instance = readInstance(shown);
    expect(instance.endpoint).toBe(`http://127.0.0.1:${ports.GATEWAY_PORT}/mcp/${instance.id}`);
    expect(shown).toMatch(/^ends +in 1 h /m);
  },

  // The published program, which is asked to sign in nowhere.
  "claude mcp add": async (text) => {
    const printed = await type(`${runCommand} --client claude`);
    const command = fillIn(text.trim(), readInstance(printed));
    expect(printed.split("\n")).toContain(command);
    const claude = {
      PATH: [join(root, "test/node_modules/.bin"), dirname(process.execPath), environment["PATH"]].join(
        delimiter,
      ),
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
      DISABLE_AUTOUPDATER: "1",
    };
    await type(command, claude);
    // Into a pipe, where it does without moving the cursor.
    expect(await type("claude mcp list | cat", claude)).toMatch(/minimcp-everything: .*Connected/);
  },

  "Claude Desktop": (text) => comparePrinted("desktop", text),
  Cursor: (text) => comparePrinted("cursor", text),
  "VS Code": (text) => comparePrinted("vscode", text),

  TypeScript: async (text) => {
    expect(await runExample(text)).toContain("Echo: hello");
    // The SDK's own page begins with the same in two steps.
    const sdk = await readFile(join(root, "packages/client/README.md"), "utf8");
    const [create, connect] = [...sdk.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, code]) => code);
    const call = `console.log(await mcp.callTool({ name: "echo", arguments: { message: "hello" } }));`;
    expect(await runExample([create, connect, call, "await mcp.close();"].join("\n"))).toContain(
      "Echo: hello",
    );
  },

  "npm run minimcp -- instances ls": async (command) => {
    expect(await type(command)).toMatch(
      new RegExp(`^${instance.id.slice(0, 8)} +everything +ready +in 1 h`, "m"),
    );
    const forScripts = "npm run -s minimcp -- instances ls --json";
    expect(page).toContain(`\`${forScripts}\``);
    const { items } = JSON.parse(await type(forScripts)) as { items: { id: string }[] };
    expect(items.map(({ id }) => id)).toContain(instance.id);
  },

  "npm run minimcp -- instances revoke": async (command) => {
    expect(await callStatus()).toBe(200);
    const receipt = await type(fillIn(command, instance));
    expect(receipt).toContain("ended (revoked)");
    expect(receipt).toMatch(/^tools allowed +echo, /m);
    expect(receipt).toMatch(/^calls +1, /m);
    expect(await callStatus()).toBe(401);
  },

  "npm run minimcp -- config check": async (command) => {
    expect(await type(command)).toContain("The configuration is usable: local mode");
  },

  "npm run minimcp -- doctor": async (command) => {
    const found = await type(command);
    expect(found).toMatch(/^pass +cli\.login +signed in at .* as you@example\.com$/m);
    expect(found).not.toMatch(/^(fail|skip)/m);
  },

  "npm run minimcp -- status": async (command) => {
    expect(await type(command)).toMatch(/^state +ready, /m);
  },

  "npm run minimcp -- stop": async (command) => {
    expect(await type(command)).toMatch(/^stopped$/m);
    expect(await product?.ended, product?.text).toBe(0);
    await expect(callStatus()).rejects.toThrow("fetch failed");
  },
};

test.each(steps)("$name", { timeout: 150_000 }, async ({ name, text }) => {
  const known = Object.entries(expectations).find(([beginning]) => name.startsWith(beginning));
  if (known === undefined) throw new Error("README.md has something new. Say here what must be seen.");
  const [, expectSeen] = known;
  await expectSeen(text);
});

test("what must be seen is all on the page", () => {
  const missing = Object.keys(expectations).filter(
    (beginning) => !steps.some(({ name }) => name.startsWith(beginning)),
  );
  expect(missing).toEqual([]);
});

test.each(["README.md", "packages/client/README.md", "docs/architecture.md", "docs/decisions.md"])(
  "every picture in %s has words for who cannot see it, and every link leads somewhere",
  async (path) => {
    const text = await readFile(join(root, path), "utf8");
    for (const [link, words, target = ""] of text.matchAll(/!?\[([^\]]*)\]\(([^)#]+)[^)]*\)/g)) {
      expect(words, link).not.toBe("");
      if (!target.startsWith("https:")) await access(join(root, dirname(path), target));
    }
  },
);

function openTerminal(command: string, more: Record<string, string> = {}): Terminal {
  return new Terminal(command, { cwd: clone, environment: { ...environment, ...more } });
}

/** Types a command that asks nothing and must succeed. @returns what it shows, below what npm says first */
async function type(command: string, more: Record<string, string> = {}): Promise<string> {
  await using terminal = openTerminal(command, more);
  const code = await terminal.ended;
  if (code !== 0) throw new Error(`${command} ended with ${code}:\n${terminal.text}`);
  return terminal.text.replace(/^\n> .*\n> .*\n\n/, "");
}

/** The page's words with what a person puts into them. */
function fillIn(text: string, { id, token }: Instance): string {
  return text
    .replaceAll("<id>", id)
    .replaceAll("mcp_…", token)
    .replaceAll("http://127.0.0.1:5000", `http://127.0.0.1:${ports.API_PORT}`)
    .replaceAll("http://127.0.0.1:5001", `http://127.0.0.1:${ports.GATEWAY_PORT}`);
}

/** What `run` shows. */
function readInstance(shown: string): Instance {
  const read = (pattern: RegExp): string => pattern.exec(shown)?.[1] ?? `nothing like ${pattern}`;
  return {
    id: read(/^instance +([0-9a-f-]{36})$/m),
    endpoint: read(/^endpoint +(\S+)$/m),
    token: read(/^token +(mcp_\w{49}) \(shown once\)$/m),
  };
}

async function comparePrinted(client: string, documented: string): Promise<void> {
  const shown = await type(`${runCommand} --client ${client}`);
  const printed: unknown = JSON.parse(shown.slice(shown.indexOf("\n{")));
  expect(printed).toEqual(JSON.parse(fillIn(documented, readInstance(shown))));
}

/** Runs an example in a project that has the clone's SDK and the official MCP clients. @returns what it prints */
async function runExample(code: string): Promise<string> {
  const project = await mkdtemp(join(folder, "project-"));
  const modules = join(project, "node_modules");
  await mkdir(join(modules, "@minimcp"), { recursive: true });
  await symlink(join(clone, "packages/client"), join(modules, "@minimcp/client"));
  await symlink(
    join(root, "test/node_modules/@modelcontextprotocol"),
    join(modules, "@modelcontextprotocol"),
  );
  await writeFile(join(project, "package.json"), JSON.stringify({ type: "module" }));
  await writeFile(join(project, "example.ts"), fillIn(code, instance));
  const { stdout } = await runProgram(process.execPath, ["example.ts"], { cwd: project, timeout: 20_000 });
  return stdout;
}

/** What the endpoint answers to a call. */
async function callStatus(): Promise<number> {
  const answer = await send(instance, "tools/list");
  await answer.text();
  return answer.status;
}

async function findFreePort(): Promise<string> {
  await using server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a TCP server has a port");
  return String(address.port);
}
