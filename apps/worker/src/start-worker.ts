import { randomUUID } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";

import {
  checkKeyring,
  createVault,
  digestToken,
  instancePorts,
  readDatabaseTls,
  readTls,
  registerNode,
  retireNode,
} from "@minimcp/core";
import { assertCurrentSchema, type Listener, openDatabase, openListener, readSchemaState } from "@minimcp/db";
import { createIngress, type IngressOptions } from "@minimcp/gateway";
import type { Isolation } from "@minimcp/pool";
import type { Logger } from "pino";

import type { WorkerConfig } from "./env.ts";
import type { ServerBundle } from "./equip-instance.ts";
import { readNodeId } from "./node-id.ts";
import { Node } from "./node.ts";
import { openNodePool } from "./node-pool.ts";
import type { EgressOptions } from "./open-egress.ts";

export type { ServerBundle };

export interface RunningWorker extends AsyncDisposable {
  /** Where MCP clients reach its gateway. */
  url: string;
  isolation: Isolation;
  /** Aborts when it cannot go on: its node's name was taken over. */
  finished: AbortSignal;
}

const applicationName = "minimcp worker";
/** Waits that fit into the life of a lease: a round must fail, and be tried again, before the leases run out. */
const upkeepLimits = { maxConnections: 4, statementTimeoutMs: 4_000, lockTimeoutMs: 1_000 };
/** A token that was live is trusted for so long without a look at the database. */
const trustMs = 1_000;

/**
 * Starts a worker: the gateway and the process pool of one node.
 * @param options.findBundle the servers that it can run, by name
 * @param options.loopbackUpstreams for development and tests only: upstream hosts that live on this machine
 * @param options.ingressLimits for tests only: what a gateway's own limits are too patient for
 * @throws PoolError `isolationUnavailable` when the host stays below the minimum level
 */
export async function startWorker(
  config: WorkerConfig,
  log: Logger,
  options: {
    findBundle(name: string): ServerBundle | undefined;
    loopbackUpstreams?: EgressOptions["loopbackUpstreams"];
    ingressLimits?: IngressOptions["limits"];
  },
): Promise<RunningWorker> {
  await using resources = new AsyncDisposableStack();
  const finished = new AbortController();
  const database = { url: config.DATABASE_URL_WORKER, applicationName, tls: readDatabaseTls(config) };
  assertCurrentSchema(await readSchemaState(database));
  const onError = (error: Error): void => log.warn({ err: error }, "a database connection broke");
  const tokens = resources.use(openDatabase({ ...database, statementTimeoutMs: 5_000, onError }));
  const db = resources.use(openDatabase({ ...database, ...upkeepLimits, onError }));
  await checkKeyring(db, config.MASTER_KEY, ["dataKeys"]);
  const pool = resources.use(await openNodePool(config, log));
  const identity = { nodeId: await readNodeId(config.MINIMCP_HOME), epoch: randomUUID() };

  // The gateway listens before there is a node to ask, because the node is registered with the gateway's address.
  let node: Node | undefined;
  let listener: Listener | undefined;
  const allowedHosts: string[] = [];
  const tls = readTls(config);
  const ingress = createIngress({
    tls,
    digestToken: (token) => digestToken("mcp", token),
    authorize: async (request, signal) =>
      (await node?.authorize(request, signal)) ?? {
        kind: "unavailable",
        retryAfterSeconds: 1,
        reason: "starting",
      },
    ...(options.ingressLimits && { limits: options.ingressLimits }),
    allowedHosts,
    allowedOrigins: config.ALLOWED_ORIGINS,
    onCall: (record) => node?.count(record),
    onError: (error, instanceId) => log.warn({ err: error, instanceId }, "a call failed"),
    ready: () => listener?.isFresh(trustMs * 2) ?? false,
  });
  ingress.server.listen(config.GATEWAY_PORT, config.HOST);
  await once(ingress.server, "listening");
  resources.defer(() => ingress.close());
  const { port } = ingress.server.address() as AddressInfo;
  const ownUrl = `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`;
  const url = config.GATEWAY_URL ?? ownUrl;
  allowedHosts.push(new URL(url).host, `127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`);

  const { level, parts } = pool.isolation;
  // One that finds no uid of its own, or no port of the host's network where it shares that, could only fail after its
  // owner was told that it is created. So there are no more places than either.
  const uids = parts.ownUid ? config.INSTANCE_UIDS.count : Infinity;
  const ports = parts.namespaces ? Infinity : instancePorts.last - instancePorts.first + 1;
  const capacity = Math.min(config.INSTANCES_PER_NODE, uids, ports);
  await registerNode(db, identity, { address: ownUrl, isolation: { level, parts }, capacity });
  resources.defer(() =>
    retireNode(db, identity).catch((error: unknown) => log.warn({ err: error }, "no goodbye")),
  );
  listener = resources.use(
    openListener({
      ...database,
      channels: ["minimcp_instance"],
      onNotification: (_channel, instanceId) => node?.notice(instanceId),
      onStateChange: (state) => {
        if (state.name === "listening" && state.afterGap) node?.noticeAll();
      },
    }),
  );
  node = resources.use(
    new Node({
      db,
      tokens,
      identity,
      capacity,
      pool,
      vault: createVault(config.MASTER_KEY),
      loopbackUpstreams: options.loopbackUpstreams,
      findBundle: (name) => options.findBundle(name),
      isFresh: () => listener?.isFresh(trustMs) ?? false,
      log,
      onReplaced: () => {
        log.error({ nodeId: identity.nodeId }, "another worker runs under this node's name; this one stops");
        finished.abort();
      },
    }),
  );
  // Here, so that it comes first: open calls may finish while the children still run.
  resources.defer(() => ingress.close());

  const acquired = resources.move();
  return {
    url,
    isolation: pool.isolation,
    finished: finished.signal,
    [Symbol.asyncDispose]: () => acquired.disposeAsync(),
  };
}
