import { chown } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { basename, isAbsolute, join, normalize } from "node:path";

import PQueue from "p-queue";

import { type Child, type Exit, SandboxedChild } from "./child.ts";
import { fileNamePattern, stageFiles } from "./child-files.ts";
import { type Host, type HostOptions, openHost } from "./host.ts";
import { type IsolationLevel, meetsLevel } from "./isolation-level.ts";
import { type Isolation, probeHost } from "./isolation.ts";
import { egressSocketInside, givenDirectory, spawnChild } from "./launch.ts";
import type { ChildLimits, Limit } from "./limits.ts";
import { bindListener } from "./listener.ts";
import { PoolError } from "./pool-error.ts";
import { makePrivateTmp } from "./private-tmp.ts";
import { stageContent } from "./stage.ts";
import { Watch } from "./watch.ts";

export interface PoolOptions extends HostOptions {
  /** Below this level the pool does not open. */
  readonly minimumLevel: IsolationLevel;
  /** Children that may be starting at once; further ones wait. Default: the number of cores. */
  readonly concurrency?: number;
  readonly log?: (event: PoolEvent) => void;
  readonly now?: () => number;
}

export type PoolEvent =
  | { readonly kind: "swept"; readonly owners: readonly string[] }
  | { readonly kind: "probed"; readonly isolation: Isolation }
  | { readonly kind: "started"; readonly id: string; readonly pid: number; readonly startedMs: number }
  | { readonly kind: "throttled"; readonly id: string; readonly limit: Limit }
  | { readonly kind: "watchFailed"; readonly id: string; readonly error: unknown }
  | { readonly kind: "ended"; readonly id: string; readonly exit: Exit }
  | { readonly kind: "cleanupFailed"; readonly id: string; readonly error: unknown };

export interface ChildSpec {
  /** Unique among the children of this pool: letters, digits, `-` and `_`, at most 64. The child sees it as MCP_ID. */
  readonly id: string;
  /** A self-contained directory; links must stay inside it. It is copied, so later changes do not reach the child. */
  readonly bundleDirectory: string;
  /** The file that Node runs, relative to the bundle. It must serve HTTP with `listen({ fd: 3 })`. */
  readonly entry: string;
  /** Flags of Node itself, such as the size of its heap. */
  readonly nodeArgs?: readonly string[];
  /** Readable by every user of the host: never a secret. */
  readonly args?: readonly string[];
  /** Added to NODE_ENV and MCP_ID, which it cannot replace. */
  readonly env?: Readonly<Record<string, string>>;
  /**
   * Host path of the broker's socket, by itself in no directory of the child's, as `Pool.nameEgressSocket` gives it. It
   * becomes the property of the child's uid.
   */
  readonly egressSocket?: string;
  /**
   * Read-only files besides the bundle by name, such as a certificate or a file of placeholder credentials. Only the
   * child's uid can read them, and they are gone with it. `Pool.filePath` tells where it finds them.
   */
  readonly files?: Readonly<Record<string, string | Buffer>>;
  /** Where it may have more or less than the pool's other children. */
  readonly limits?: Partial<Pick<ChildLimits, "memoryBytes" | "cpuCores">>;
  /** Default 10,000. */
  readonly readyTimeoutMs?: number;
  /** Time between SIGTERM and SIGKILL. Default 3,000. */
  readonly graceMs?: number;
  /** Told of the child as soon as it runs: of one that never answers, its output is all there is. It must not throw. */
  readonly onSpawn?: (child: Child) => void;
}

/** The children of one worker node. Disposing it stops them all. */
export interface Pool extends AsyncDisposable {
  readonly isolation: Isolation;
  /** 0711, this pool's alone, swept when its process is gone. */
  readonly directory: string;
  /**
   * Starts a child and waits until it answers `GET /healthz` with 200. A start that fails leaves nothing behind.
   *
   * @throws {PoolError} for every failure; the signal's reason when it aborts.
   */
  start(spec: ChildSpec, signal?: AbortSignal): Promise<Child>;
  /** Where a child finds a file of its spec. Known before its start, so that its arguments and environment can name it. */
  filePath(id: string, name: string): string;
  /** A new path for a broker's socket, short enough for one, and where the child whose broker it is will find it. */
  nameEgressSocket(): { readonly path: string; readonly inside: string };
  /** Those that are starting, ready or stopping. */
  children(): readonly Child[];
}

/**
 * Opens the pool at the best level that the host gives.
 *
 * @throws {PoolError} `isolationUnavailable` below the minimum level, `runtimeUnusable` for the directory.
 */
export async function openPool(options: PoolOptions): Promise<Pool> {
  const log = options.log ?? (() => {});
  await using resources = new AsyncDisposableStack();
  const host = resources.use(await openHost(options));
  if (host.runtime.sweptOwners.length > 0) log({ kind: "swept", owners: host.runtime.sweptOwners });
  const isolation = await probeHost(host);
  log({ kind: "probed", isolation });
  if (!meetsLevel(isolation.level, options.minimumLevel)) {
    throw new PoolError(
      "isolationUnavailable",
      `this host gives isolation level ${isolation.level}, but ${options.minimumLevel} is required. To raise it: ${isolation.advice.join("; ")}.`,
    );
  }
  return new ProcessPool(host, isolation, resources.move(), {
    concurrency: options.concurrency ?? availableParallelism(),
    log,
    now: options.now ?? Date.now,
  });
}

interface PoolSettings {
  readonly concurrency: number;
  readonly log: (event: PoolEvent) => void;
  readonly now: () => number;
}

const defaultReadyTimeoutMs = 10_000;
const defaultGraceMs = 3_000;

class ProcessPool implements Pool {
  readonly isolation: Isolation;
  readonly #host: Host;
  readonly #resources: AsyncDisposableStack;
  readonly #settings: PoolSettings;
  readonly #queue: PQueue;
  readonly #closing = new AbortController();
  /** Every id that is queued, starting or running. */
  readonly #ids = new Set<string>();
  readonly #children = new Set<SandboxedChild>();
  readonly #watch: Watch;
  #socketCount = 0;
  #egressSocketCount = 0;

  constructor(host: Host, isolation: Isolation, resources: AsyncDisposableStack, settings: PoolSettings) {
    this.#host = host;
    this.isolation = isolation;
    this.#resources = resources;
    this.#settings = settings;
    this.#queue = new PQueue({ concurrency: settings.concurrency });
    this.#watch = new Watch({
      children: () => this.#children,
      onThrottled: ({ id }, limit) => settings.log({ kind: "throttled", id, limit }),
      onError: ({ id }, error) => settings.log({ kind: "watchFailed", id, error }),
    });
  }

  get directory(): string {
    return this.#host.runtime.directory;
  }

  filePath(id: string, name: string): string {
    return join(this.isolation.parts.namespaces ? givenDirectory : this.#filesOf(id), name);
  }

  nameEgressSocket(): { path: string; inside: string } {
    const path = join(this.directory, `${this.#egressSocketCount++}.egress`);
    return { path, inside: this.isolation.parts.namespaces ? egressSocketInside : path };
  }

  #filesOf(id: string): string {
    return join(this.#host.runtime.files, id);
  }

  children(): readonly Child[] {
    return [...this.#children];
  }

  async start(spec: ChildSpec, signal?: AbortSignal): Promise<Child> {
    this.#closing.signal.throwIfAborted();
    checkSpec(spec);
    if (this.#ids.has(spec.id))
      throw new PoolError("invalidSpec", `a child with the id ${spec.id} is running already`);
    this.#ids.add(spec.id);
    const either = AbortSignal.any([this.#closing.signal, ...(signal ? [signal] : [])]);
    let launching: Promise<Child> | undefined;
    try {
      const child = await this.#queue.add(() => (launching = this.#launch(spec, either)), { signal: either });
      void child.exited.then(() => this.#ids.delete(spec.id));
      return child;
    } catch (error) {
      // At an abort the queue lets go at once; what it had begun is cleared away before the caller hears of it.
      const child = await launching?.catch(() => {});
      await child?.stop();
      this.#ids.delete(spec.id);
      throw error;
    }
  }

  async #launch(spec: ChildSpec, signal: AbortSignal): Promise<Child> {
    const { log } = this.#settings;
    const startedAt = performance.now();
    const child = await this.#spawn(spec, signal).catch((error: unknown) => {
      if (error instanceof PoolError || signal.aborted) throw error;
      throw new PoolError("startFailed", `child ${spec.id} could not be launched: ${String(error)}`, {
        cause: error,
      });
    });
    void this.#track(child);
    spec.onSpawn?.(child);
    try {
      await child.waitUntilReady(spec.readyTimeoutMs ?? defaultReadyTimeoutMs, signal);
    } catch (error) {
      child.kill();
      await child.exited;
      throw error;
    }
    log({ kind: "started", id: child.id, pid: child.pid, startedMs: performance.now() - startedAt });
    return child;
  }

  async #track(child: SandboxedChild): Promise<void> {
    this.#children.add(child);
    const exit = await child.exited;
    this.#children.delete(child);
    this.#settings.log({ kind: "ended", id: child.id, exit });
  }

  async #spawn(spec: ChildSpec, signal: AbortSignal): Promise<SandboxedChild> {
    const { runtime, slots, cgroups, tools, node, preload, filter } = this.#host;
    const limits = { ...this.#host.limits, ...spec.limits };
    const { log, now } = this.#settings;
    await using resources = new AsyncDisposableStack();
    const slot = slots && this.isolation.parts.ownUid ? resources.use(await slots.acquire()) : undefined;
    const temporary =
      slot && !this.isolation.parts.namespaces
        ? resources.use(await makePrivateTmp(join(runtime.temporary, spec.id), slot))
        : undefined;
    const bundle = await stageContent(runtime, "bundle", spec.bundleDirectory);
    if (slot && spec.egressSocket) await chown(spec.egressSocket, slot.uid, slot.uid);
    const files = spec.files
      ? resources.use(await stageFiles(this.#filesOf(spec.id), spec.files, slot?.uid))
      : undefined;
    const etc = this.isolation.parts.namespaces ? await this.#host.stageEtc(slot?.uid) : undefined;
    const cgroup = cgroups && resources.use(await cgroups.create(spec.id, limits));
    const listener = resources.use(await bindListener(runtime.sockets, String(this.#socketCount++)));
    signal.throwIfAborted();
    const process = await spawnChild(
      {
        level: this.isolation.level,
        tools,
        limits,
        node,
        preload,
        bundle,
        entry: spec.entry,
        nodeArgs: spec.nodeArgs ?? [],
        args: spec.args ?? [],
        env: { ...spec.env, NODE_ENV: "production", MCP_ID: spec.id },
        uid: slot?.uid,
        etc,
        temporary: temporary?.path,
        egressSocket: spec.egressSocket,
        files,
        cgroup: cgroup?.path,
        filter,
        readable: [],
      },
      listener.descriptor,
    );
    const child = new SandboxedChild({
      id: spec.id,
      process,
      socketPath: listener.path,
      isolation: this.isolation,
      uid: slot?.uid,
      cgroup,
      temporary: temporary?.path,
      graceMs: spec.graceMs ?? defaultGraceMs,
      limits,
      now,
      resources: resources.move(),
      onCleanupError: (error) => log({ kind: "cleanupFailed", id: spec.id, error }),
    });
    // From here the child alone listens: when it dies, connections are refused instead of hanging.
    await listener.release();
    return child;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new PoolError("closed", "the process pool is shutting down"));
    await Promise.all([...this.#children].map((child) => child.stop()));
    await this.#queue.onIdle();
    await this.#watch[Symbol.asyncDispose]();
    await this.#resources.disposeAsync();
  }
}

// The dynamic loader and libc obey these before the first line of the bundle runs; at some levels in setpriv, as root.
const loaderVariables = /^(?:LD_|GLIBC_|MALLOC_|GCONV_PATH$|LOCPATH$|NLSPATH$)/;

/** @throws {PoolError} `invalidSpec` with what to change. */
function checkSpec(spec: ChildSpec): void {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(spec.id)) {
    throw new PoolError(
      "invalidSpec",
      `id ${JSON.stringify(spec.id)} must be 1 to 64 letters, digits, "-" or "_"`,
    );
  }
  if (isAbsolute(spec.entry) || normalize(spec.entry).startsWith("..")) {
    throw new PoolError("invalidSpec", `entry ${spec.entry} must lie inside the bundle`);
  }
  for (const name of Object.keys(spec.files ?? {})) {
    if (!fileNamePattern.test(name) || name === basename(egressSocketInside)) {
      throw new PoolError(
        "invalidSpec",
        `the file name ${JSON.stringify(name)} is not allowed: use letters, digits, ".", "-" and "_"`,
      );
    }
  }
  for (const [name, value] of Object.entries(spec.env ?? {})) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) || loaderVariables.test(name)) {
      throw new PoolError(
        "invalidSpec",
        `environment variable ${JSON.stringify(name)} is not allowed for a child`,
      );
    }
    if (value.includes("\0"))
      throw new PoolError("invalidSpec", `environment variable ${name} contains a zero byte`);
  }
  if (spec.args?.some((argument) => argument.includes("\0"))) {
    throw new PoolError("invalidSpec", "an argument contains a zero byte");
  }
}
