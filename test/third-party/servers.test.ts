/**
 * Servers as npm installs them, which insist on a key in their environment or a file. They are given a placeholder, in a
 * sandbox without a network, and work all the same; the key is in their upstream's log and nowhere near them.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { createEmulator } from "emulate";
import { describe, expect, it } from "vitest";

// @boundaries-ignore How the tests of the adapter speak to it.
import {
  type RawRequest,
  sendLegacy,
  sendModern,
} from "../../packages/connectors/test/support/raw-client.ts";
// @boundaries-ignore How the tests of the adapter start it.
import {
  listDescendants,
  type RunningServer,
  runServer,
} from "../../packages/connectors/test/support/run-server.ts";
// @boundaries-ignore What the tests of the broker call its parts.
import {
  canary,
  openEgress,
  routeTo,
  type Seen,
  tokenForm,
} from "../../packages/gateway/test/egress-harness.ts";
import { figmaFile } from "./fixtures/figma-file.ts";
import { fileOf, hasSandbox, openSandbox, packages, type Sandbox } from "./support/sandbox.ts";

const bundler = fileURLToPath(
  new URL("../../packages/connectors/test/support/build-bundle.ts", import.meta.url),
);
const curled = "api.example.test";
const read = async () => Buffer.from(canary);

function allow(...hosts: string[]) {
  const rules = hosts.map((host) => ({ host, port: 443, methods: ["GET", "POST"], pathPrefixes: ["/"] }));
  return { rules, loopbackHosts: hosts };
}

describe.skipIf(!hasSandbox)("an unmodified server with a placeholder for a key", () => {
  it.each([
    { way: "the preload", runtime: "node" },
    { way: "the loopback proxy", runtime: "other" },
  ])(
    "@modelcontextprotocol/server-github works in the name of the key's owner, by $way",
    async ({ runtime }) => {
      const host = "api.github.com";
      await using stack = new AsyncDisposableStack();
      const fake = await createEmulator({
        service: "github",
        port: 0,
        // The emulator takes an unknown token for its first user: only the key makes the second one answer.
        seed: {
          tokens: { someone: { login: "first" }, [canary]: { login: "owner" } },
          github: {
            users: [{ login: "first" }, { login: "owner" }],
            repos: [{ owner: "owner", name: "site" }],
          },
        },
      });
      stack.defer(() => fake.close());
      const seen: Seen[] = [];
      const sandbox = stack.use(
        await openSandbox(routeTo({ [host]: fake.url }, seen), {
          ...allow(host),
          credential: { inject: { hosts: [host], scheme: "bearer" }, placeholder: tokenForm, read },
        }),
      );
      const script = fileOf("@modelcontextprotocol/server-github", "dist/index.js");
      const server = stack.use(
        await runServer({
          // To a program that is not Node's, Node itself is the nearest thing that is surely here.
          script: runtime === "node" ? script : process.execPath,
          args: runtime === "node" ? [] : [script],
          wrap: sandbox.wrap,
          env: {
            ...sandbox.env,
            MCP_RUNTIME: runtime,
            GITHUB_PERSONAL_ACCESS_TOKEN: String(sandbox.egress.broker.placeholder),
          },
        }),
      );
      expect(await listTools(server)).toContain("create_issue");
      const created = await callTool(server, "create_issue", {
        owner: "owner",
        repo: "site",
        title: "It leaks",
      });
      expect(created).toContain('"login": "owner"');
      const listed = await callTool(server, "list_issues", { owner: "owner", repo: "site" });
      expect(listed).toContain("It leaks");
      expect(seen.length).toBeGreaterThan(0);
      expect(seen.every(({ headers }) => headers.authorization === `Bearer ${canary}`)).toBe(true);
      await expectNoKeyNear(server, sandbox, [created, listed]);
    },
  );

  it("works where there are no namespaces, under Node's permission model with nothing to read but its package", async () => {
    const host = "api.github.com";
    await using stack = new AsyncDisposableStack();
    const seen: Seen[] = [];
    const egress = stack.use(
      await openEgress(
        ({ url = "", headers }, response) => {
          seen.push({ host: headers.host ?? "", url, headers });
          response.writeHead(200, { "content-type": "application/json" }).end("[]");
        },
        {
          ...allow(host),
          credential: { inject: { hosts: [host], scheme: "bearer" }, placeholder: tokenForm, read },
        },
      ),
    );
    const caFile = `${dirname(egress.broker.socketPath)}/ca.pem`;
    await writeFile(caFile, egress.broker.caCertificate);
    const server = stack.use(
      await runServer({
        script: fileOf("@modelcontextprotocol/server-github", "dist/index.js"),
        wrap: ([node, ...rest], bundle) => {
          const readable = [bundle, packages].map((path) => `--allow-fs-read=${path}`);
          return [node, "--permission", "--allow-child-process", ...readable, ...rest];
        },
        env: {
          MCP_EGRESS_SOCKET: egress.broker.socketPath,
          MCP_EGRESS_CA_FILE: caFile,
          GITHUB_PERSONAL_ACCESS_TOKEN: String(egress.broker.placeholder),
        },
      }),
    );
    expect(await callTool(server, "list_issues", { owner: "owner", repo: "site" })).toBe("[]");
    expect(seen).toMatchObject([{ host, headers: { authorization: `Bearer ${canary}` } }]);
  });

  it.each(["stdio", "tcp"])("figma-developer-mcp reads a file, over %s", async (transport) => {
    const host = "api.figma.com";
    await using stack = new AsyncDisposableStack();
    const seen: Seen[] = [];
    const sandbox = stack.use(
      await openSandbox(
        ({ url = "", headers }, response) => {
          seen.push({ host: headers.host ?? "", url, headers });
          response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(figmaFile));
        },
        {
          ...allow(host),
          credential: {
            inject: { hosts: [host], scheme: "header", header: "x-figma-token" },
            placeholder: { prefix: "figd_", length: 45 },
            read,
          },
        },
      ),
    );
    const server = stack.use(
      await runServer({
        script: fileOf("figma-developer-mcp", "dist/bin.js"),
        args: transport === "stdio" ? ["--stdio"] : [],
        wrap: sandbox.wrap,
        env: {
          ...sandbox.env,
          ...(transport === "tcp" && { PORT: "3000" }),
          FIGMA_API_KEY: String(sandbox.egress.broker.placeholder),
          DO_NOT_TRACK: "1",
        },
      }),
    );
    expect(await listTools(server)).toContain("get_figma_data");
    const answer = await callTool(server, "get_figma_data", { fileKey: "abc123" });
    expect(answer).toContain("Hero section");
    expect(seen.map(({ url }) => url)).toEqual(["/v1/files/abc123"]);
    expect(seen[0]?.headers["x-figma-token"]).toBe(canary);
    await expectNoKeyNear(server, sandbox, [answer]);
  });

  it("@artymclabin/gmail-mcp searches mail with tokens of the broker's, from credentials in files", async () => {
    const gmail = "gmail.googleapis.com";
    const tokens = "oauth2.googleapis.com";
    await using stack = new AsyncDisposableStack();
    const fake = await createEmulator({ service: "google", port: 0 });
    stack.defer(() => fake.close());
    const seen: Seen[] = [];
    const sandbox = stack.use(
      await openSandbox(
        routeTo({ [gmail]: fake.url, [tokens]: fake.url }, seen),
        {
          ...allow(gmail),
          credential: {
            inject: { hosts: [gmail], scheme: "bearer" },
            placeholder: tokenForm,
            tokenEndpoint: { host: tokens, path: "/token" },
            readToken: async () => ({ token: await read(), expiresAt: null }),
          },
        },
        {
          files: ({ broker: { placeholder } }) => ({
            "/run/mcp/oauth.json": JSON.stringify({
              installed: { client_id: placeholder, client_secret: placeholder },
            }),
            // No access token: the server's first call is to the token endpoint.
            "/run/mcp/credentials.json": JSON.stringify({ refresh_token: placeholder }),
          }),
        },
      ),
    );
    const server = stack.use(
      await runServer({
        script: fileOf("@artymclabin/gmail-mcp", "dist/index.js"),
        wrap: sandbox.wrap,
        env: {
          ...sandbox.env,
          // It asks for its home though it uses none, and the sandbox has no users.
          HOME: "/tmp",
          GMAIL_OAUTH_PATH: "/run/mcp/oauth.json",
          GMAIL_CREDENTIALS_PATH: "/run/mcp/credentials.json",
        },
      }),
    );
    expect(await listTools(server)).toContain("search_emails");
    const answer = await callTool(server, "search_emails", { query: "", maxResults: 2 });
    expect(answer).toContain("Subject: ");
    expect(seen.length).toBeGreaterThan(0);
    for (const { host, headers } of seen) {
      expect({ host, authorization: headers.authorization }).toEqual({
        host: gmail,
        authorization: `Bearer ${canary}`,
      });
    }
    expect(sandbox.egress.decisions).toContainEqual(expect.objectContaining({ host: tokens, status: 200 }));
    await expectNoKeyNear(server, sandbox, [answer]);
  });

  it.each([
    { server: "@modelcontextprotocol/server-github", script: "dist/index.js", tool: "create_issue" },
    { server: "@artymclabin/gmail-mcp", script: "dist/index.js", tool: "search_emails" },
  ])(
    "$server starts from a bundle, without its packages",
    async ({ server: name, script, tool: expected }) => {
      await using stack = new AsyncDisposableStack();
      const directory = await mkdtemp(join(tmpdir(), "bundle-"));
      stack.defer(() => rm(directory, { recursive: true }));
      await promisify(execFile)(process.execPath, [bundler, directory, fileOf(name, script)]);
      const sandbox = stack.use(
        await openSandbox(
          (_, response) => response.end(),
          {},
          {
            hasPackages: false,
            files: () => ({ "/run/mcp/oauth.json": '{"installed":{}}' }),
          },
        ),
      );
      const server = stack.use(
        await runServer({
          directory,
          script: "server/index.js",
          wrap: sandbox.wrap,
          env: { ...sandbox.env, HOME: "/tmp", GMAIL_OAUTH_PATH: "/run/mcp/oauth.json" },
        }),
      );
      expect(await listTools(server)).toContain(expected);
    },
  );

  it("is told by its upstream's client what the broker refused", async () => {
    const host = "api.github.com";
    await using stack = new AsyncDisposableStack();
    const sandbox = stack.use(
      await openSandbox((_, response) => response.end("[]"), {
        rules: [{ host, port: 443, methods: ["GET"], pathPrefixes: ["/"] }],
        loopbackHosts: [host],
        credential: { inject: { hosts: [host], scheme: "bearer" }, placeholder: tokenForm, read },
      }),
    );
    const server = stack.use(
      await runServer({
        script: fileOf("@modelcontextprotocol/server-github", "dist/index.js"),
        wrap: sandbox.wrap,
        env: { ...sandbox.env, GITHUB_PERSONAL_ACCESS_TOKEN: String(sandbox.egress.broker.placeholder) },
      }),
    );
    const answer = await sendModern(server.url, tool("create_issue", { owner: "o", repo: "r", title: "t" }));
    expect(JSON.stringify(answer)).toContain("This server may not use that method there.");
  });
});

describe.skipIf(!hasSandbox || !existsSync("/usr/bin/curl"))("a server that is no program of Node's", () => {
  it.each([`https://${curled}/user`, `http://${curled}/user`])("reaches %s with curl", async (url) => {
    await using stack = new AsyncDisposableStack();
    const seen: Seen[] = [];
    const sandbox = stack.use(
      await openSandbox(
        ({ url: path = "", headers }, response) => {
          seen.push({ host: headers.host ?? "", url: path, headers });
          response.end("the answer");
        },
        {
          ...allow(curled),
          credential: { inject: { hosts: [curled], scheme: "bearer" }, placeholder: tokenForm, read },
        },
      ),
    );
    const { placeholder } = sandbox.egress.broker;
    const server = stack.use(
      await runServer({
        script: "/usr/bin/bash",
        args: [fileURLToPath(new URL("fixtures/curl-server.sh", import.meta.url))],
        wrap: sandbox.wrap,
        env: { ...sandbox.env, MCP_RUNTIME: "other", KEY: String(placeholder) },
      }),
    );
    expect(await callTool(server, "curl", { url })).toBe("the answer");
    expect(seen).toMatchObject([
      { host: curled, url: "/user", headers: { authorization: `Bearer ${canary}` } },
    ]);
    // Whoever else is on this machine does not know the password.
    expect(await callTool(server, "curl-without-password", { url })).toContain("407");
    expect(seen).toHaveLength(1);
    await expectNoKeyNear(server, sandbox, []);
  });
});

const tool = (name: string, args: object): RawRequest => ({
  method: "tools/call",
  params: { name, arguments: args },
});

async function listTools(server: RunningServer): Promise<string[]> {
  const { result } = await sendLegacy(server.url, { method: "tools/list" });
  const tools = result?.["tools"];
  if (!Array.isArray(tools)) throw new Error(`no tools; the server wrote: ${server.log.join("\n")}`);
  return tools.map(({ name }: { name: string }) => name);
}

/** Calls a tool and returns its answer as text. */
async function callTool(server: RunningServer, name: string, args: object): Promise<string> {
  const answer = await sendLegacy(server.url, tool(name, args));
  const [content] = (answer.result?.["content"] ?? []) as { text: string }[];
  if (content === undefined || answer.result?.["isError"] === true)
    throw new Error(`${JSON.stringify(answer)}; the server wrote: ${server.log.join("\n")}`);
  return content.text;
}

/** The key is in nothing that the server has, had, said or was told, its memory included where that can be read. */
async function expectNoKeyNear(
  server: RunningServer,
  { egress }: Sandbox,
  answers: readonly string[],
): Promise<void> {
  const told = JSON.stringify([answers, server.log, egress.decisions, egress.errors, egress.broker]);
  const forms = [canary, Buffer.from(canary).toString("base64")];
  for (const form of forms) expect(told).not.toContain(form);
  const known: (string | Buffer)[] = [];
  for (const pid of await listDescendants(server.process.pid ?? 0)) {
    known.push(
      await readFile(`/proc/${pid}/cmdline`, "latin1"),
      await readFile(`/proc/${pid}/environ`, "latin1").catch(() => ""),
      process.getuid?.() === 0 ? await readMemory(pid) : "",
    );
  }
  for (const form of forms) expect(known.some((text) => text.includes(form))).toBe(false);
  // Who looks where nothing can be found finds nothing: the placeholder is there.
  const { placeholder } = egress.broker;
  if (process.getuid?.() === 0) expect(known.some((text) => text.includes(String(placeholder)))).toBe(true);
}

/** All writable memory of a process that is its own, without what it only reserved, and without compiled code. */
async function readMemory(pid: number): Promise<Buffer> {
  const regions = (await readFile(`/proc/${pid}/smaps`, "latin1")).split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  await using memory = await open(`/proc/${pid}/mem`);
  const pieces: Buffer[] = [];
  for (const region of regions) {
    const [, from = "", to = ""] = /^([0-9a-f]+)-([0-9a-f]+) rw-p/.exec(region) ?? [];
    if (from === "" || /^Rss: +0 kB$/m.test(region)) continue;
    const start = Number.parseInt(from, 16);
    const piece = Buffer.allocUnsafe(Number.parseInt(to, 16) - start);
    // What was freed meanwhile holds nothing.
    const { bytesRead } = await memory.read(piece, 0, piece.length, start).catch(() => ({ bytesRead: 0 }));
    pieces.push(piece.subarray(0, bytesRead));
  }
  return Buffer.concat(pieces);
}
