// The attack: a hostile MCP server looks for anything of the host that it can read, reach, keep or become.
import { existsSync } from "node:fs";
import { chmod, readFile, readdir, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as createSocketServer } from "node:net";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { type Pool, openPool } from "../src/index.ts";
import { egressSocketInside } from "../src/launch.ts";
import {
  bestLevel,
  copyForUser,
  fixtureServer,
  hasNamespaces,
  isRoot,
  makeTestDirectory,
  reachableLevels,
  runFreelyInside,
  runInside,
} from "./support/host.ts";
import { type Owner, startOwner } from "./support/owner.ts";

const ordinaryUid = 65_534;

interface Situation {
  name: string;
  open: (
    resources: AsyncDisposableStack,
  ) => Promise<{ socketPath: string; level: string; expectedUid: number | undefined }>;
}

const situations: Situation[] = [
  {
    name: bestLevel,
    open: async (resources) => {
      const directory = resources.use(await makeTestDirectory());
      const pool = resources.use(await openPool(await directory.options()));
      const child = await pool.start({
        id: "look",
        bundleDirectory: fixtureServer,
        entry: "server.js",
        env: { SECRET_LOOKING: "look-for-this" },
      });
      return {
        socketPath: child.socketPath,
        level: child.isolation.level,
        expectedUid: child.uid ?? process.getuid?.(),
      };
    },
  },
  // Root becomes an ordinary user for this one.
  ...(isRoot
    ? [
        {
          name: "contained",
          open: async (resources: AsyncDisposableStack) => {
            const directory = resources.use(await makeTestDirectory());
            const { nodeBinary, bundle, runtimeDirectory } = await copyForUser(directory.path, ordinaryUid);
            const owner: Owner = resources.use(
              await startOwner({ runtimeDirectory, nodeBinary, bundleDirectory: bundle, uid: ordinaryUid }),
            );
            return { socketPath: owner.socketPath, level: owner.level, expectedUid: ordinaryUid };
          },
        },
      ]
    : []),
];

describe.runIf(hasNamespaces).each(situations)("a child at $name", ({ name, open }) => {
  const resources = new AsyncDisposableStack();
  let socketPath = "";
  let level = "";
  let expectedUid: number | undefined;
  beforeAll(async () => {
    ({ socketPath, level, expectedUid } = await open(resources));
  });
  afterAll(() => resources.disposeAsync());

  it("is told to be at that level", () => {
    expect(level).toBe(name);
  });

  it("has no capability, no way to gain one, and a filter", async () => {
    const status = await runFreelyInside<string>(
      socketPath,
      `return fs.readFileSync("/proc/self/status", "utf8")`,
    );
    expect(status).toMatch(/^CapInh:\t0+$/m);
    expect(status).toMatch(/^CapPrm:\t0+$/m);
    expect(status).toMatch(/^CapEff:\t0+$/m);
    expect(status).toMatch(/^CapBnd:\t0+$/m);
    expect(status).toMatch(/^CapAmb:\t0+$/m);
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    expect(status).toMatch(/^Seccomp:\t2$/m);
  });

  it("runs under the expected uid and no group besides", async () => {
    const ids = await runInside(
      socketPath,
      `return [process.getuid(), process.getgid(), process.getgroups()]`,
    );
    expect(ids).toEqual([expectedUid, expectedUid, [expectedUid]]);
  });

  it("has only the declared environment, and its init has none", async () => {
    const env = await runInside<object>(socketPath, `return process.env`);
    expect(env).toEqual({
      NODE_ENV: "production",
      MCP_ID: expect.any(String),
      NODE_OPTIONS: expect.any(String),
      SECRET_LOOKING: "look-for-this",
    });
    const init = await runFreelyInside<string>(
      socketPath,
      `return fs.readFileSync("/proc/1/environ", "utf8")`,
    );
    expect(init).not.toContain("SECRET_LOOKING");
    expect(init).not.toContain("HOME");
  });

  it("shows no value of its environment in a command line of the host", async () => {
    const pids = (await readdir("/proc")).filter((file) => /^\d+$/.test(file));
    const lines = await Promise.all(
      pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")),
    );
    expect(lines.some((line) => line.includes("bwrap"))).toBe(true);
    expect(lines.filter((line) => line.includes("look-for-this"))).toEqual([]);
  });

  it("sees its init and itself", async () => {
    const pids = await runFreelyInside(
      socketPath,
      `return fs.readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name) && name !== String(process.pid))`,
    );
    expect(pids).toEqual(["1", "2"]);
  });

  it("inherits the listener and nothing else", async () => {
    const targets = await runInside<number[]>(
      socketPath,
      // A grandchild that gets everything not marked close-on-exec.
      `return spawnSync("/usr/bin/ls", ["-l", "/proc/self/fd"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).stdout.split("\\n").filter((line) => line.includes("->")).map((line) => Number(/ (\\d+) ->/.exec(line)[1]))`,
    );
    // ls itself has 3 open on the directory it lists.
    expect(targets).toEqual([0, 1, 2, 3]);
  });

  it("finds only the sandbox in the root, and no file of the host outside /usr", async () => {
    const found = await runFreelyInside<string[]>(socketPath, `return fs.readdirSync("/").toSorted()`);
    expect(found).toEqual([
      "app",
      "bin",
      "dev",
      "etc",
      "lib",
      "lib64",
      "node",
      "preload.cjs",
      "proc",
      "tmp",
      "usr",
    ]);
    const paths = [
      "/etc/shadow",
      "/etc/hostname",
      "/root",
      "/home",
      "/run",
      "/sys",
      "/var",
      process.cwd(),
      socketPath,
    ];
    const readable = await runFreelyInside(
      socketPath,
      `return ${JSON.stringify(paths)}.filter((path) => fs.existsSync(path))`,
    );
    expect(readable).toEqual([]);
  });

  it("finds in /etc nobody but itself, and its home is /tmp", async () => {
    const etc = await runFreelyInside(
      socketPath,
      `return Object.fromEntries(fs.readdirSync("/etc").map((name) => [name, fs.readFileSync("/etc/" + name, "utf8")]))`,
    );
    expect(etc).toEqual({
      hosts: "127.0.0.1 localhost\n::1 localhost\n",
      passwd: `mcp:x:${expectedUid}:${expectedUid}::/tmp:/usr/sbin/nologin\n`,
      group: `mcp:x:${expectedUid}:\n`,
    });
    const os = await runInside(
      socketPath,
      `const os = process.getBuiltinModule("node:os"); return { home: os.homedir(), ...os.userInfo() }`,
    );
    expect(os).toMatchObject({ home: "/tmp", homedir: "/tmp", username: "mcp", uid: expectedUid });
  });

  it("resolves localhost by Node and by a program, and no other name", async () => {
    const names = await runInside(
      socketPath,
      `const { lookup } = process.getBuiltinModule("node:dns").promises;
       const addresses = await Promise.all([4, 6].map((family) => lookup("localhost", { family })));
       const other = await lookup("example.com").catch((error) => error.code);
       const byProgram = spawnSync("/usr/bin/getent", ["hosts", "localhost"]).status;
       return { addresses: addresses.map(({ address }) => address), other, byProgram }`,
    );
    expect(names).toEqual({ addresses: ["127.0.0.1", "::1"], other: "EAI_AGAIN", byProgram: 0 });
  });

  it("writes to /tmp and nowhere else", async () => {
    const writable = await runFreelyInside(
      socketPath,
      `const found = [];
       const visit = (path) => {
         try { fs.writeFileSync(path + "/probe", ""); found.push(path); fs.rmSync(path + "/probe"); } catch {}
         for (const entry of fs.readdirSync(path, { withFileTypes: true }))
           if (entry.isDirectory()) try { visit(path + "/" + entry.name) } catch {}
       };
       for (const path of ["/app", "/dev", "/etc", "/tmp"]) visit(path);
       for (const path of ["/", "/usr", "/usr/bin", "/proc", "/proc/sys/kernel"])
         try { fs.writeFileSync(path + "/probe", ""); found.push(path) } catch {}
       return found;`,
    );
    expect(writable).toEqual(["/tmp"]);
  });

  it("fills its /tmp up to the limit and no further", async () => {
    const outcome = await runInside(
      socketPath,
      `const chunk = Buffer.alloc(1 << 20);
       let written = 0;
       try { for (let file = 0; ; file++) { for (let i = 0; i < 32; i++) { fs.appendFileSync("/tmp/fill-" + file, chunk); written++; } } }
       catch (error) { return { code: error.code, isBelow: written <= 64 } }
       finally { for (const name of fs.readdirSync("/tmp")) fs.rmSync("/tmp/" + name) }`,
    );
    expect(outcome).toEqual({ code: "ENOSPC", isBelow: true });
  });

  it("reaches no loopback, no address and no abstract socket of the host", async () => {
    await using sockets = new AsyncDisposableStack();
    const tcp = sockets.use(createServer());
    await new Promise<void>((resolve) => tcp.listen(0, resolve));
    const address = tcp.address();
    const port = typeof address === "object" && address ? address.port : 0;
    const abstract = `\0minimcp-test-${process.pid}`;
    const hidden = sockets.use(createSocketServer());
    await new Promise<void>((resolve) => hidden.listen(abstract, resolve));
    const outcomes = await runInside<string[]>(
      socketPath,
      `return Promise.all([
         tryConnect({ host: "127.0.0.1", port: ${port} }), tryConnect({ host: "::1", port: ${port} }),
         tryConnect({ host: "192.0.2.1", port: 443 }), tryConnect({ path: ${JSON.stringify(abstract)} })])`,
    );
    expect(outcomes).not.toContain("connected");
  });

  it("has a loopback of its own, on which a server that speaks TCP only can be reached from inside", async () => {
    const outcome = await runInside(
      socketPath,
      `const server = net.createServer((socket) => socket.destroy());
       await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
       try { return await tryConnect({ host: "127.0.0.1", port: server.address().port }) } finally { server.close() }`,
    );
    expect(outcome).toBe("connected");
  });

  it("opens no namespace of its own, by unshare or by clone", async () => {
    const codes = await runInside<(number | null)[]>(
      socketPath,
      `return ["--user", "--mount", "--net", "--pid"].map((kind) => spawnSync("/usr/bin/unshare", [kind, "/usr/bin/true"]).status)`,
    );
    expect(codes).not.toContain(0);
  });

  it("gains nothing from a set-uid program", async () => {
    const uid = await runFreelyInside(
      socketPath,
      `const found = ["/usr/bin/su", "/usr/bin/mount", "/usr/bin/passwd"].find((path) => fs.existsSync(path) && fs.statSync(path).mode & 0o4000);
       if (!found) return process.getuid();
       const child = spawn(found, [], { stdio: "pipe" });
       await new Promise((resolve) => setImmediate(resolve));
       try { return Number(/^Uid:\\t\\d+\\t(\\d+)/m.exec(fs.readFileSync("/proc/" + child.pid + "/status", "utf8"))[1]) }
       catch { return process.getuid() } finally { child.kill("SIGKILL") }`,
    );
    expect(uid).toBe(expectedUid);
  });

  it("is refused by Node what it has no need of, though the sandbox shows it", async () => {
    const paths = ["/usr/bin/env", "/proc/1/environ", "/proc/self/maps", "/dev/null"];
    const read = `return ${JSON.stringify(paths)}.map((path) => {
      try { fs.closeSync(fs.openSync(path)); return "read" } catch (error) { return error.code }
    })`;
    expect(await runInside(socketPath, read)).toEqual(paths.map(() => "ERR_ACCESS_DENIED"));
    expect(await runFreelyInside(socketPath, read)).toEqual(paths.map(() => "read"));
    expect(await runInside(socketPath, `return fs.existsSync("/usr/bin/env")`)).toBe(false);
    const refused = await runInside(
      socketPath,
      `const attempt = (action) => { try { action(); return "done" } catch (error) { return error.code } };
       return [
         attempt(() => process.dlopen({ exports: {} }, "/app/addon.node")),
         attempt(() => process.getBuiltinModule("node:inspector").open(0)),
         attempt(() => new (process.getBuiltinModule("node:wasi").WASI)({ version: "preview1" })),
       ]`,
    );
    expect(refused).toEqual(["ERR_DLOPEN_DISABLED", "ERR_ACCESS_DENIED", "ERR_ACCESS_DENIED"]);
  });

  it("is held by Node's permissions in what it starts under Node too, and in worker threads", async () => {
    const script = `try { require("node:fs").openSync("/usr/bin/env"); report("read") } catch (error) { report(error.code) }`;
    const outcomes = await runInside(
      socketPath,
      `const { Worker } = process.getBuiltinModule("node:worker_threads");
       const script = ${JSON.stringify(script)};
       const child = (env) => spawnSync(process.execPath, ["-e", "const report = (text) => process.stdout.write(text);" + script], { env, encoding: "utf8" });
       const started = [child(process.env), child({})];
       const thread = new Worker("const report = (text) => require('node:worker_threads').parentPort.postMessage(text);" + script, { eval: true });
       const posted = await new Promise((resolve, reject) => thread.once("message", resolve).once("error", reject));
       return [...started.map(({ stdout }) => stdout), posted]`,
    );
    expect(outcomes).toEqual(Array(3).fill("ERR_ACCESS_DENIED"));
  });

  it("starts worker threads from ESM, from threads and in what it starts under Node", async () => {
    const nested = `import { parentPort, Worker } from "node:worker_threads";
      const inner = new Worker("require('node:worker_threads').parentPort.postMessage('inner')", { eval: true });
      inner.once("message", (text) => parentPort.postMessage("outer of " + text));`;
    const program = `new (require("node:worker_threads").Worker)("console.log('a thread')", { eval: true })`;
    const said = await runInside(
      socketPath,
      `const { Worker } = process.getBuiltinModule("node:worker_threads");
       const outer = new Worker(new URL("data:text/javascript," + encodeURIComponent(${JSON.stringify(nested)})));
       const posted = await new Promise((resolve, reject) => outer.once("message", resolve).once("error", reject));
       return [posted, spawnSync(process.execPath, ["-e", ${JSON.stringify(program)}], { encoding: "utf8" }).stdout]`,
    );
    expect(said).toEqual(["outer of inner", "a thread\n"]);
  });

  it("runs WebAssembly and fetch within its limits", async () => {
    const outcome = await runInside(
      socketPath,
      `new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])));
       return fetch("http://127.0.0.1:9/").then(() => "answered", (error) => error.cause.code)`,
    );
    expect(["ECONNREFUSED", "ENETUNREACH", "bad port"]).toContain(outcome ?? "bad port");
  });
});

async function openBroker(pool: Pool): Promise<AsyncDisposable & ReturnType<Pool["nameEgressSocket"]>> {
  const socket = pool.nameEgressSocket();
  const server = createServer((_, response) => response.end("from the broker"));
  await new Promise<void>((resolve) => server.listen(socket.path, resolve));
  await chmod(socket.path, 0o600);
  return { ...socket, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

describe.each(reachableLevels)("the broker's socket at $level", ({ level, without }) => {
  it("is reached by its child", async () => {
    await using directory = await makeTestDirectory();
    await using pool = await openPool(await directory.options(without));
    await using broker = await openBroker(pool);
    const child = await pool.start({
      id: "egress",
      bundleDirectory: fixtureServer,
      entry: "server.js",
      egressSocket: broker.path,
    });
    expect(await runInside(child.socketPath, `return tryConnect({ path: "${broker.inside}" })`)).toBe(
      "connected",
    );
  });

  it.runIf(level !== "none")("is out of reach for every other child", async () => {
    await using directory = await makeTestDirectory();
    await using pool = await openPool(await directory.options(without));
    await using broker = await openBroker(pool);
    await pool.start({
      id: "egress",
      bundleDirectory: fixtureServer,
      entry: "server.js",
      egressSocket: broker.path,
    });
    const other = await pool.start({ id: "other", bundleDirectory: fixtureServer, entry: "server.js" });
    const outcomes = await runInside<string[]>(
      other.socketPath,
      `return Promise.all([tryConnect({ path: "${broker.path}" }), tryConnect({ path: "${egressSocketInside}" })])`,
    );
    expect(outcomes).not.toContain("connected");
  });
});

/** Has a server write so many files of so many bytes. */
const fill = (files: number, bytes: number): string =>
  `for (let i = 0; i < ${files}; i++) fs.writeFileSync(process.env.TMPDIR + "/" + i, Buffer.alloc(${bytes}, 1)); return null`;

describe.runIf(reachableLevels.some(({ level }) => level === "hardened"))("a child at hardened", () => {
  it("has its own uid and no capability, reads nothing but its bundle and writes to its own directory alone", async () => {
    await using directory = await makeTestDirectory();
    await using pool = await openPool(await directory.options(["bwrap"]));
    const child = await pool.start({
      id: "hard",
      bundleDirectory: fixtureServer,
      entry: "server.js",
      env: { DECLARED: "1" },
    });
    const seen = await runInside(
      child.socketPath,
      `const attempt = (action) => { try { action(); return "done" } catch (error) { return error.code } };
       const status = spawnSync("/usr/bin/cat", ["/proc/self/status"], { encoding: "utf8", env: {} }).stdout;
       return {
         env: process.env, uid: process.getuid(), groups: process.getgroups(),
         read: attempt(() => fs.readFileSync("/etc/passwd")), write: attempt(() => fs.writeFileSync("/tmp/minimcp-hardened", "")),
         writeOwn: attempt(() => fs.writeFileSync(fs.mkdtempSync(process.getBuiltinModule("node:os").tmpdir() + "/x-") + "/y", "")),
         noNewPrivileges: /^NoNewPrivs:\\t1$/m.test(status), capabilities: status.match(/^Cap\\w+:\\t0+$/gm).length,
       }`,
    );
    expect(seen).toEqual({
      env: {
        NODE_ENV: "production",
        MCP_ID: "hard",
        NODE_OPTIONS: expect.any(String),
        TMPDIR: join(pool.directory, "p", "hard"),
        DECLARED: "1",
      },
      uid: child.uid,
      groups: [child.uid],
      read: "ERR_ACCESS_DENIED",
      write: "ERR_ACCESS_DENIED",
      writeOwn: "done",
      noNewPrivileges: true,
      capabilities: 5,
    });
  });

  it("leaves nothing of its temporary directory, and what a link in it leads to stays", async () => {
    await using directory = await makeTestDirectory();
    await using pool = await openPool(await directory.options(["bwrap"]));
    const kept = join(directory.path, "kept");
    await writeFile(kept, "");
    const child = await pool.start({ id: "tidy", bundleDirectory: fixtureServer, entry: "server.js" });
    const other = await pool.start({ id: "other", bundleDirectory: fixtureServer, entry: "server.js" });
    const path = join(pool.directory, "p", "tidy");
    const script = `cd "$TMPDIR" && mkdir -p a/b && echo x > a/b/c && ln -s ${directory.path} a/link && chmod 000 a/b && echo written`;
    expect(
      await runInside(
        child.socketPath,
        `return spawnSync("/usr/bin/sh", ["-c", ${JSON.stringify(script)}], { encoding: "utf8" }).stdout`,
      ),
    ).toBe("written\n");
    expect((await stat(path)).mode & 0o777).toBe(0o700);
    expect(
      await runInside(other.socketPath, `return spawnSync("/usr/bin/ls", ["-A", "${path}"]).status`),
    ).not.toBe(0);
    await child.stop();
    await expect(stat(path)).rejects.toThrow("ENOENT");
    expect(existsSync(kept)).toBe(true);
  });

  it("ends when its temporary directory is above its limit, in one file or in many", async () => {
    await using directory = await makeTestDirectory();
    const options = await directory.options(["bwrap"]);
    await using pool = await openPool({ ...options, limits: { tmpBytes: 2 << 20 } });
    const modest = await pool.start({ id: "modest", bundleDirectory: fixtureServer, entry: "server.js" });
    await runInside(modest.socketPath, fill(1, 1 << 20));
    for (const [id, files, bytes] of [
      ["large", 1, 3 << 20],
      ["many", 200, 0],
    ] as const) {
      const child = await pool.start({ id, bundleDirectory: fixtureServer, entry: "server.js" });
      await runInside(child.socketPath, fill(files, bytes));
      expect(await child.exited).toMatchObject({ cause: "crashed", limit: "tmp" });
    }
    expect(modest.state.kind).toBe("ready");
  });
});
