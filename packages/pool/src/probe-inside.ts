/** What a process sees and can do from inside a sandbox. */
export interface InsideReport {
  /** Fields of /proc/self/status, as the kernel prints them; empty where there is no /proc. */
  status: Record<string, string>;
  /** Soft limits of /proc/self/limits by name. */
  limits: Record<string, string>;
  uid: number | null;
  reachesLoopback: boolean;
  readableFiles: string[];
  writableDirectories: string[];
  /** The same as a shell finds it, which no permission model holds. */
  byProgram: { hasRun: boolean; readable: string[]; writable: string[] };
  inheritedDescriptors: string[];
  visibleProcesses: number;
  opensUserNamespace: boolean;
  nodePermission: boolean;
  /** Names of the variables that the kernel handed over at exec; empty where there is no /proc. */
  environment: string[];
}

export interface ProbeTargets {
  /** A TCP port on 127.0.0.1 that answers on the host. */
  loopbackPort: number;
  /** Host files that the child must not be able to read. */
  secretFiles: string[];
}

/**
 * Runs inside the sandbox, alone: its source text is staged as a file, so it may use nothing from outside itself.
 * It tries what a hostile server would try first and prints an InsideReport as one line of JSON.
 */
export async function reportFromInside(targets: ProbeTargets): Promise<void> {
  const fs = process.getBuiltinModule("node:fs");
  const net = process.getBuiltinModule("node:net");
  const { spawnSync } = process.getBuiltinModule("node:child_process");

  const read = (path: string): string => {
    try {
      return fs.readFileSync(path, "utf8");
    } catch {
      return "";
    }
  };
  const canRead = (path: string): boolean => {
    try {
      fs.readFileSync(path);
      return true;
    } catch {
      return false;
    }
  };
  const canWrite = (directory: string): boolean => {
    const file = `${directory}/minimcp-probe-${process.pid}`;
    try {
      fs.writeFileSync(file, "x");
      fs.rmSync(file, { force: true });
      return true;
    } catch {
      return false;
    }
  };
  const list = (path: string): string[] => {
    try {
      return fs.readdirSync(path);
    } catch {
      return [];
    }
  };

  const status = Object.fromEntries(
    read("/proc/self/status")
      .split("\n")
      .map((line) => line.split(":\t"))
      .map(([name = "", value = ""]) => [name, value.trim()]),
  );
  const limits = Object.fromEntries(
    read("/proc/self/limits")
      .split("\n")
      .map((line) => /^(Max [a-z ]+?)\s{2,}(\S+)/.exec(line))
      .map((match) => [match?.[1] ?? "", match?.[2] ?? ""]),
  );

  const reachesLoopback = await new Promise<boolean>((resolve) => {
    const socket = net.connect(targets.loopbackPort, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });

  const directories = [
    "/",
    "/app",
    "/dev",
    "/dev/shm",
    "/etc",
    "/proc",
    "/run",
    "/run/mcp",
    "/tmp",
    "/usr",
    "/var/tmp",
  ];
  const writableDirectories = [...directories, process.cwd()].filter(canWrite);

  const script = `for path do
      x=
      { read -r x < "$path" || [ -n "$x" ]; } 2>/dev/null && echo "read $path"
      probe=$path/minimcp-probe-$$
      { true > "$probe"; } 2>/dev/null && echo "write $path" && rm "$probe"
    done
    echo done`;
  const paths = [...targets.secretFiles, ...directories, process.cwd()];
  const said = spawnSync("/usr/bin/sh", ["-c", script, "sh", ...paths], { encoding: "utf8" });
  const findings = (said.stdout ?? "").split("\n");
  const pathsAfter = (word: string): string[] =>
    findings.flatMap((line) => (line.startsWith(word) ? [line.slice(word.length)] : []));

  // Node's own descriptors are event queues, /dev/null and pipes of which it holds both ends. Anything else above the
  // listener was inherited.
  const descriptors = list("/proc/self/fd")
    .map(Number)
    .filter((descriptor) => descriptor > 3)
    .map((descriptor) => {
      try {
        return fs.readlinkSync(`/proc/self/fd/${descriptor}`);
      } catch {
        return "";
      }
    });
  const inheritedDescriptors = descriptors.filter(
    (target) =>
      target !== "" &&
      target !== "/dev/null" &&
      !target.startsWith("anon_inode:") &&
      !(target.startsWith("pipe:") && descriptors.filter((other) => other === target).length === 2),
  );

  const report: InsideReport = {
    status,
    limits,
    uid: process.getuid?.() ?? null,
    reachesLoopback,
    readableFiles: targets.secretFiles.filter(canRead),
    writableDirectories,
    byProgram: {
      hasRun: findings.includes("done"),
      readable: pathsAfter("read "),
      writable: pathsAfter("write "),
    },
    inheritedDescriptors,
    visibleProcesses: list("/proc").filter((name) => /^\d+$/.test(name)).length,
    opensUserNamespace: spawnSync("/usr/bin/unshare", ["--user", "/usr/bin/true"], { env: {} }).status === 0,
    // The permission model exists only where it was switched on.
    nodePermission: Boolean(process.permission) && !process.permission.has("fs.read", "/usr/bin/env"),
    environment: read("/proc/self/environ")
      .split("\0")
      .filter(Boolean)
      .map((variable) => variable.slice(0, variable.indexOf("="))),
  };
  fs.writeSync(1, `${JSON.stringify(report)}\n`);
  process.exit(0);
}
