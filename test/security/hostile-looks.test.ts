/**
 * The attack: an MCP server looks for whatever is not its own: keys, variables, files, processes, sockets and memory of the
 * worker, of the host and of the instance next door.
 */
import { once } from "node:events";
import { chmod, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import {
  attack,
  type SandboxWorker,
  situations,
  type StartedChild,
  startSandboxWorker,
} from "./support/sandbox.ts";

const canary = "canary-5f0d1c";
/** What a worker has in its environment. */
const environment = {
  MASTER_KEY: canary,
  SESSION_SECRET: canary,
  DATABASE_URL_WORKER: `postgres://worker:${canary}@localhost/x`,
};

describe.each(situations)("a hostile server at $level", (situation) => {
  const { level } = situation;
  const hasNamespaces = level === "strict" || level === "contained";
  const isIsolated = level !== "none";
  const resources = new AsyncDisposableStack();
  let worker: SandboxWorker;
  let attacker: StartedChild;
  let victim: StartedChild;

  beforeAll(async () => {
    worker = resources.use(await startSandboxWorker(situation, { environment }));
    victim = await worker.start({
      id: "victim",
      env: { GITHUB_TOKEN: canary },
      files: { "credentials.json": canary },
    });
    attacker = await worker.start({
      id: "attacker",
      env: { DECLARED: "1" },
      files: { "ca.pem": "its own" },
    });
  });
  afterAll(() => resources.disposeAsync());

  test("is at that level", () => {
    expect(worker.isolation.level).toBe(level);
  });

  test.runIf(level === "strict" || level === "hardened")(
    "ISO-1: runs under a uid that is not root's, the worker's or another server's",
    () => {
      expect(new Set([0, attacker.uid, victim.uid]).size).toBe(3);
    },
  );

  test("ISO-6: finds its declared environment and nothing of the worker's", async () => {
    const seen = await attack<{ own: Record<string, string> }>(attacker, "environment");
    // What Node itself is started with; without namespaces also where it may write.
    const { NODE_OPTIONS: _, TMPDIR: _tmp, HOME: _home, ...declared } = seen.own;
    expect(declared).toEqual({ NODE_ENV: "production", MCP_ID: "attacker", DECLARED: "1" });
    expect(JSON.stringify(seen)).not.toContain(canary);
  });

  test("is given its files, read-only", async () => {
    const path = hasNamespaces ? "/run/mcp/ca.pem" : join(worker.poolDirectory, "f", "attacker", "ca.pem");
    const got = await attack<{ value: string }[]>(attacker, "readFiles", { paths: [path] });
    expect(got.map(({ value }) => value)).toContain("its own");
    expect(await attack(attacker, "write", { paths: [path] })).toEqual([]);
  });

  test.runIf(isIsolated)(
    "ISO-8: reads no key, no secret of the host, nothing of another server",
    async () => {
      const secret = join(worker.home, "master-key");
      await writeFile(secret, canary, { mode: 0o600 });
      const paths = [
        secret,
        "/etc/shadow",
        "/run/mcp/credentials.json",
        join(worker.poolDirectory, "f", "victim", "credentials.json"),
        `/proc/${worker.pid}/root${secret}`,
        `/proc/${victim.pid}/root/run/mcp/credentials.json`,
      ];
      expect(await attack(attacker, "readFiles", { paths })).toEqual([]);
      const directories = [worker.home, worker.poolDirectory, join(worker.poolDirectory, "s"), "/root"];
      expect(await attack(attacker, "listDirectories", { paths: directories })).toEqual([]);
    },
  );

  test.runIf(hasNamespaces)(
    "ISO-8: sees no home, no configuration and no socket of the host at all",
    async () => {
      const paths = ["/home", "/root", "/var", "/srv", "/sys", "/run/docker.sock", "/var/run/docker.sock"];
      expect(await attack(attacker, "listDirectories", { paths })).toEqual([]);
      const accounts = await attack<{ value: string }[]>(attacker, "readFiles", { paths: ["/etc/passwd"] });
      expect(accounts.map(({ value }) => value.split(":")[0])).toEqual(["mcp"]);
      expect(await attack(attacker, "listDirectories", { paths: ["/run", "/run/mcp"] })).toEqual([
        "/run",
        "/run/mcp",
      ]);
    },
  );

  test.runIf(isIsolated)(
    "ISO-3: reaches neither variables, memory, files nor life of the worker or of another server",
    async () => {
      const pids = [worker.pid, victim.pid, process.pid, process.ppid];
      const got = await attack<string[]>(attacker, "spyOnProcess", { pids });
      // Inside a namespace small numbers are its own processes; these are none of them.
      expect(got).toEqual([]);
    },
  );

  // What the attacks bring where nothing is in their way: without it the tests above would pass by themselves.
  test.runIf(level === "none")(
    "reads the worker's secrets without isolation, which is what the level is called for",
    async () => {
      const secret = join(worker.home, "master-key");
      await writeFile(secret, canary);
      const got = await attack<{ value: string }[]>(attacker, "readFiles", { paths: [secret] });
      expect(got.map(({ value }) => value)).toEqual([canary, canary]);
      const spied = await attack<string[]>(attacker, "spyOnProcess", { pids: [victim.pid] });
      expect(spied).toContain(`/proc/${victim.pid}/environ`);
      expect(spied).toContain(`signal ${victim.pid}`);
      const targets = [{ path: victim.socketPath }];
      expect(await attack(attacker, "connect", { targets })).toEqual(["connected"]);
    },
  );

  test.runIf(hasNamespaces)("ISO-3: sees its init and itself alone", async () => {
    expect(await attack(attacker, "visibleProcesses")).toEqual([1, 2]);
  });

  test("ISO-9: writes to none of its code, its runtime and the host's programs", async () => {
    const paths = hasNamespaces
      ? [
          "/app/server.js",
          "/app/x",
          "/node",
          "/usr/bin/x",
          "/run/mcp/x",
          "/etc/hosts",
          "/etc/x",
          "/preload.cjs",
          "/x",
          "/dev/x",
          "/proc/sys/kernel/core_pattern",
        ]
      : [
          "/usr/bin/x",
          "/proc/sys/kernel/core_pattern",
          join(worker.poolDirectory, "x"),
          join(worker.poolDirectory, "f", "x"),
        ];
    // Without a uid or a namespace the worker's files are its own.
    const expected = level === "none" ? paths.slice(2) : [];
    expect(await attack(attacker, "write", { paths })).toEqual(expected);
  });

  test.runIf(hasNamespaces)(
    "ISO-11: reaches no port, no address, no socket of the host and no metadata service",
    async () => {
      await using servers = new AsyncDisposableStack();
      const tcp = servers.use(createServer((socket) => socket.destroy()));
      await once(tcp.listen(0, "::"), "listening");
      const address = tcp.address();
      const port = typeof address === "object" && address ? address.port : 0;
      const path = join(worker.poolDirectory, "broker.sock");
      const local = servers.use(createServer((socket) => socket.destroy()));
      await once(local.listen(path), "listening");
      await chmod(path, 0o777);
      const abstract = servers.use(createServer((socket) => socket.destroy()));
      await once(abstract.listen(`\0minimcp-hostile-${process.pid}`), "listening");
      const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
      const targets = [
        ...["127.0.0.1", "::1", ...own.map((found) => found.address)].map((host) => ({ host, port })),
        ...[5432, 5000, 3000, 5001, 9464, 9465].map((known) => ({ host: "127.0.0.1", port: known })),
        { host: "169.254.169.254", port: 80 },
        { host: "fd00:ec2::254", port: 80 },
        { host: "192.0.2.1", port: 443 },
        { path },
        { path: victim.socketPath },
        { path: `\0minimcp-hostile-${process.pid}` },
      ];
      const outcomes = await attack<string[]>(attacker, "connect", { targets });
      expect(outcomes).toHaveLength(targets.length);
      expect(outcomes.filter((outcome) => outcome === "connected" || outcome === "timeout")).toEqual([]);
    },
  );

  test.runIf(isIsolated)(
    "reaches neither its own front door's directory nor another server's socket",
    async () => {
      const targets = [victim.socketPath, attacker.socketPath].map((path) => ({ path }));
      const outcomes = await attack<string[]>(attacker, "connect", { targets });
      expect(outcomes).not.toContain("connected");
    },
  );
});
