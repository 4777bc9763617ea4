// The attack: a hostile MCP server looks for anything of the host that it can read, reach, keep or become.
import { execFile } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chmod, chown, copyFile, readFile, readdir, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as createSocketServer } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { type Pool, openPool } from "../src/index.ts";
import { egressSocketInside } from "../src/launch.ts";
import { listProcesses, treeOf } from "../src/process-usage.ts";
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
  open: (resources: AsyncDisposableStack) => Promise<Opened>;
}

interface Opened {
  socketPath: string;
  level: string;
  childPid: number;
  expectedUid: number | undefined;
  /** Where its bundle was staged. */
  runtimeDirectory: string;
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
        childPid: child.pid,
        expectedUid: child.uid ?? process.getuid?.(),
        runtimeDirectory: join(directory.path, "rt"),
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
            const { socketPath, level, childPid } = owner;
            return { socketPath, level, childPid, expectedUid: ordinaryUid, runtimeDirectory };
          },
        },
      ]
    : []),
];

describe.runIf(hasNamespaces).each(situations)("a child at $name", ({ name, open }) => {
  const resources = new AsyncDisposableStack();
  let socketPath = "";
  let level = "";
  let childPid = 0;
  let expectedUid: number | undefined;
  let runtimeDirectory = "";
  beforeAll(async () => {
    ({ socketPath, level, childPid, expectedUid, runtimeDirectory } = await open(resources));
  });
  afterAll(() => resources.disposeAsync());

  it("is told to be at that level", () => {
    expect(level).toBe(name);
  });

  it("ISO-1: every process of it runs on the host under the child's own uid, or under the worker's where the level has none", async () => {
    const tree = treeOf(childPid, listProcesses());
    expect(tree.length).toBeGreaterThan(1);
    for (const process of tree) expect(await uidsOf(process.pid)).toEqual(four(expectedUid));
    if (name === "strict") expect([0, undefined]).not.toContain(expectedUid);
  });

  it("ISO-2: has no capability, no way to gain one, and a filter", async () => {
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

  it("ISO-2: runs under the expected uid and its own group alone", async () => {
    const ids = await runInside(
      socketPath,
      `return [process.getuid(), process.getgid(), process.getgroups()]`,
    );
    expect(ids).toEqual([expectedUid, expectedUid, [expectedUid]]);
  });

  it("ISO-6: has only the declared environment, and its init has none", async () => {
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
    expect(init).toBe("");
  });

  it("ISO-12: shows no value of its environment in a command line of the host", async () => {
    const pids = (await readdir("/proc")).filter((file) => /^\d+$/.test(file));
    const lines = await Promise.all(
      pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")),
    );
    expect(lines.some((line) => line.includes("bwrap"))).toBe(true);
    expect(lines.filter((line) => line.includes("look-for-this"))).toEqual([]);
  });

  it("ISO-3: sees its init and itself", async () => {
    const pids = await runFreelyInside(
      socketPath,
      `return fs.readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name) && name !== String(process.pid))`,
    );
    expect(pids).toEqual(["1", "2"]);
  });

  it("ISO-7: has the listener open, what Node itself needs, and nothing else", async () => {
    const own = /^(?:anon_inode:\[(?:eventpoll|eventfd|io_uring)\]|pipe:\[\d+\]|\/dev\/null)$/;
    const others = async (): Promise<string[]> => {
      const targets = await runFreelyInside<string[]>(
        socketPath,
        `const path = "/proc/" + process.ppid + "/fd/";
         return fs.readdirSync(path).filter((fd) => Number(fd) > 2).flatMap((fd) => { try { return [fs.readlinkSync(path + fd)] } catch { return [] } })`,
      );
      return targets.filter((target) => !own.test(target)).map((target) => target.replace(/\d+/, "N"));
    };
    // The listener, the connection on which this is asked, and three to the program that looks. Connections of earlier
    // questions may take a moment to go.
    await expect.poll(others, { timeout: 5_000 }).toEqual(Array(5).fill("socket:[N]"));
  });

  it("ISO-7: what it starts inherits neither the listener nor anything else", async () => {
    const targets = await runInside<number[]>(
      socketPath,
      // A grandchild that gets everything not marked close-on-exec.
      `return spawnSync("/usr/bin/ls", ["-l", "/proc/self/fd"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).stdout.split("\\n").filter((line) => line.includes("->")).map((line) => Number(/ (\\d+) ->/.exec(line)[1]))`,
    );
    // ls itself has 3 open on the directory it lists.
    expect(targets).toEqual([0, 1, 2, 3]);
  });

  it("ISO-8: finds only the sandbox in the root, and no file of the host outside /usr", async () => {
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

  it("ISO-9: writes to /tmp and nowhere else", async () => {
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

  it("ISO-9, RES-6: fills its /tmp up to the limit and no further", async () => {
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

  it("ISO-11: reaches no loopback, no address and no abstract socket of the host", async () => {
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

  // perl calls the kernel by number; it is part of Debian's base and so inside every sandbox there.
  it.runIf(process.arch === "x64" && existsSync("/usr/bin/perl"))(
    "ISO-4: ptrace, process_vm_readv, mount, unshare, setns, bpf, keyctl and io_uring are refused, whatever the filter's own list says",
    async () => {
      // Numbers of the kernel's syscall_64.tbl; the arguments are those of a call that could succeed.
      const calls: [name: string, number: number, args: string][] = [
        ["ptrace(TRACEME)", 101, "0, 0, 0, 0"],
        ["process_vm_readv", 310, "$$, 0, 0, 0, 0, 0"],
        ["mount", 165, "$none, $tmp, $tmpfs, 0, 0"],
        ["unshare(NEWUSER)", 272, "0x10000000"],
        ["setns", 308, "fileno(NS), 0"],
        ["bpf(MAP_CREATE)", 321, "0, 0, 0"],
        ["keyctl(GET_KEYRING_ID)", 250, "0, -3, 0"],
        ["io_uring_setup", 425, "8, $parameters"],
        ["io_uring_enter", 426, "0, 0, 0, 0, 0, 0"],
        ["io_uring_register", 427, "0, 0, 0, 0"],
      ];
      const script = calls.map(
        ([, number, args]) => `$! = 0; $r = syscall(${number}, ${args}); print $r < 0 ? $!+0 : 0, "\\n";`,
      );
      // syscall() takes no literal string: the kernel might write there.
      const given = `($none, $tmp, $tmpfs, $parameters) = ("none", "/tmp", "tmpfs", "\\0" x 120); open(NS, "<", "/proc/self/ns/net");`;
      const output = await runInside<string>(
        socketPath,
        `return spawnSync("/usr/bin/perl", ["-e", ${JSON.stringify(`${given} ${script.join(" ")}`)}], { encoding: "utf8" }).stdout`,
      );
      const errors = output.trim().split("\n").map(Number);
      // EPERM or ENOSYS, of errno(3).
      expect(calls.filter((_, index) => ![1, 38].includes(errors[index] ?? 0))).toEqual([]);
    },
  );

  it.runIf(isRoot)("ISO-5: gains nothing from a set-uid program of root's", async () => {
    await plantSetUidProgram(runtimeDirectory);
    expect(await runInside(socketPath, becomeRoot)).toBe(String(expectedUid));
  });

  it("EGR-6: gets nothing out around its broker by TCP, UDP, a raw socket or a question to a name server", async () => {
    await using sockets = new AsyncDisposableStack();
    const received: Buffer[] = [];
    const udp = createSocket("udp4").on("message", (message) => received.push(message));
    sockets.defer(() => void udp.close());
    udp.bind(0);
    await once(udp, "listening");
    const tcp = sockets.use(createServer());
    await once(tcp.listen(0), "listening");
    const address = tcp.address();
    const port = typeof address === "object" && address ? address.port : 0;
    const hosts = ["127.0.0.1", ...ownAddresses(), "192.0.2.1"];
    const outcome = await runInside<Record<string, unknown>>(
      socketPath,
      `const dgram = process.getBuiltinModule("node:dgram");
       const dns = process.getBuiltinModule("node:dns/promises");
       const hosts = ${JSON.stringify(hosts)};
       const tcp = await Promise.all(hosts.map((host) => tryConnect({ host, port: ${port} })));
       const udp = await Promise.all(hosts.map((host) => new Promise((resolve) => {
         const socket = dgram.createSocket("udp4");
         socket.on("error", () => {});
         socket.send("out", ${udp.address().port}, host, (error) => { socket.close(); resolve(error?.code ?? "sent to its own loopback") });
       })));
       const resolver = new dns.Resolver({ timeout: 500, tries: 1 });
       resolver.setServers(["192.0.2.1", "127.0.0.1"]);
       const names = await Promise.all([resolver.resolve4("example.com"), dns.lookup("example.com")].map((asked) => asked.then(() => "resolved", () => "no answer")));
       const raw = spawnSync("/usr/bin/perl", ["-MSocket", "-e", 'print socket(S, PF_INET, SOCK_RAW, 1) ? "opened" : $!+0'], { encoding: "utf8" }).stdout;
       return { tcp, udp, names, raw };`,
    );
    expect(outcome["tcp"]).not.toContain("connected");
    const [own, ...others] = outcome["udp"] as string[];
    expect(own).toBe("sent to its own loopback");
    expect(new Set(others)).toEqual(new Set(["ENETUNREACH"]));
    expect(outcome["names"]).toEqual(["no answer", "no answer"]);
    expect(outcome["raw"]).toBe("1");
    // A datagram of the host's own arrives, and none that was sent before it from inside.
    const sender = createSocket("udp4");
    sockets.defer(() => void sender.close());
    sender.send("from the host", udp.address().port, "127.0.0.1");
    await expect.poll(() => received.map(String), { timeout: 5_000 }).toEqual(["from the host"]);
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
});

describe.each(reachableLevels)("WebAssembly and fetch at $level", ({ without }) => {
  it("RES-7: work within the limits, for there is no limit on addresses", async () => {
    await using directory = await makeTestDirectory();
    await using pool = await openPool(await directory.options(without));
    const child = await pool.start({ id: "wasm", bundleDirectory: fixtureServer, entry: "server.js" });
    const outcome = await runInside(
      child.socketPath,
      // (module (memory (export "m") 1) (func (export "f") (result i32) i32.const 42)); its memory then grows to 64 MiB.
      `const bytes = new Uint8Array([0,97,115,109,1,0,0,0,1,5,1,96,0,1,127,3,2,1,0,5,3,1,0,1,7,9,2,1,109,2,0,1,102,0,0,10,6,1,4,0,65,42,11]);
       const { instance: { exports } } = await WebAssembly.instantiate(bytes);
       exports.m.grow(1023);
       new Uint8Array(exports.m.buffer).fill(1);
       const server = process.getBuiltinModule("node:http").createServer((_, response) => response.end("x".repeat(1 << 20)));
       await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
       const answer = await fetch("http://127.0.0.1:" + server.address().port);
       const fetched = (await answer.text()).length;
       server.close();
       const limits = spawnSync("/usr/bin/cat", ["/proc/self/limits"], { encoding: "utf8" }).stdout;
       return { answer: exports.f(), megabytes: exports.m.buffer.byteLength >> 20, fetched, addresses: /^Max address space +(\\S+)/m.exec(limits)[1] };`,
    );
    expect(outcome).toEqual({ answer: 42, megabytes: 64, fetched: 1 << 20, addresses: "unlimited" });
  });
});

/** Real, effective, saved and file system uid of a process, as the host sees it. */
async function uidsOf(pid: number): Promise<number[]> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return /^Uid:\t(.*)$/m.exec(status)?.[1]?.split("\t").map(Number) ?? [];
}

const four = <T>(value: T): T[] => [value, value, value, value];

function ownAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ family, internal }) => family === "IPv4" && !internal)
    .map(({ address }) => address);
}

const setUidProgram = "become-root";
/** For a child: the uid that the planted program says it has become. */
const becomeRoot = `return spawnSync(process.cwd() + "/${setUidProgram}", ["-u"], { encoding: "utf8" }).stdout.trim()`;

/** Puts a program into every staged bundle that makes whoever runs it root, and sees that it does. */
async function plantSetUidProgram(runtimeDirectory: string): Promise<void> {
  const stage = join(runtimeDirectory, "stage");
  const bundles = (await readdir(stage)).filter((name) => name.startsWith("bundle-"));
  expect(bundles).not.toEqual([]);
  for (const bundle of bundles) {
    const path = join(stage, bundle, setUidProgram);
    await copyFile("/usr/bin/id", path);
    await chown(path, 0, 0);
    await chmod(path, 0o4755);
    const asOther = ["--reuid", String(ordinaryUid), "--regid", String(ordinaryUid), "--clear-groups"];
    const { stdout } = await promisify(execFile)("/usr/bin/setpriv", [...asOther, path, "-u"]);
    expect(stdout.trim(), "the file system of the temporary directory must heed set-uid bits").toBe("0");
  }
}

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
  it("ISO-1, ISO-2, ISO-6: has its own uid and group, no capability and its declared environment; reads nothing but its bundle and writes to its own directory alone", async () => {
    await using directory = await makeTestDirectory();
    await using pool = await openPool(await directory.options(["bwrap"]));
    const child = await pool.start({
      id: "hard",
      bundleDirectory: fixtureServer,
      entry: "server.js",
      env: { DECLARED: "1" },
    });
    for (const { pid } of treeOf(child.pid, listProcesses())) {
      expect(await uidsOf(pid)).toEqual(four(child.uid));
    }
    const seen = await runInside(
      child.socketPath,
      `const attempt = (action) => { try { action(); return "done" } catch (error) { return error.code } };
       const status = spawnSync("/usr/bin/cat", ["/proc/self/status"], { encoding: "utf8", env: {} }).stdout;
       return {
         env: process.env, home: process.getBuiltinModule("node:os").homedir(),
         uid: process.getuid(), groups: process.getgroups(),
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
        HOME: join(pool.directory, "p", "hard"),
        TMPDIR: join(pool.directory, "p", "hard"),
        DECLARED: "1",
      },
      home: join(pool.directory, "p", "hard"),
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

  it("ISO-5: gains nothing from a set-uid program of root's", async () => {
    await using directory = await makeTestDirectory();
    await using pool = await openPool(await directory.options(["bwrap"]));
    const child = await pool.start({ id: "hard", bundleDirectory: fixtureServer, entry: "server.js" });
    await plantSetUidProgram(join(directory.path, "rt"));
    expect(await runInside(child.socketPath, becomeRoot)).toBe(String(child.uid));
  });
});
