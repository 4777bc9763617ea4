import { isIP } from "node:net";
import { checkServerIdentity, type ConnectionOptions } from "node:tls";

import type { Client, ClientConfig } from "pg";

import { parseDatabaseUrl } from "./database-url.ts";

/** TLS towards the database. The server's certificate and name are always verified; there is no way to turn that off. */
export interface DatabaseTls {
  /** PEM of the authority that signed the server's certificate. Default: the authorities Node trusts. */
  ca?: string | undefined;
  /** PEM of the client certificate, for servers with `clientcert=verify-full`. */
  cert?: string | undefined;
  /** PEM of the client certificate's private key. */
  key?: string | undefined;
  /** The name the server's certificate must carry, where it differs from the host in the URL. */
  servername?: string | undefined;
}

export interface DatabaseConnectionOptions {
  url: string;
  /** Shown in `pg_stat_activity`, so that an operator sees which process holds a lock. */
  applicationName: string;
  /** Connecting, TLS and authentication together. Default 5,000. */
  connectTimeoutMs?: number | undefined;
  /** A statement that runs longer is cancelled by the server. Default 30,000; 0 means never (migrations). */
  statementTimeoutMs?: number | undefined;
  /** Waiting for one lock. Default 10,000; 0 means no limit of its own. */
  lockTimeoutMs?: number | undefined;
  /** A transaction left idle for longer is ended by the server, with its connection. Default 15,000. */
  idleInTransactionTimeoutMs?: number | undefined;
  tls?: DatabaseTls | undefined;
}

/** How long the client goes on waiting after the server should have cancelled: only a dead network gets that far. */
const serverSilenceGraceMs = 5_000;
const goodbyeTimeoutMs = 1_000;

/**
 * The discrete node-postgres configuration for one database.
 *
 * Whatever decides where we connect, as whom and how safely is given, also where it equals a default: what is left out,
 * node-postgres takes from `PG*` variables of the environment or from `~/.pgpass`.
 *
 * @throws TypeError for a URL that cannot be used.
 */
export function buildClientConfig(options: DatabaseConnectionOptions): ClientConfig {
  const { host, port, user, password, database } = parseDatabaseUrl(options.url);
  const statementTimeoutMs = options.statementTimeoutMs ?? 30_000;
  if (options.tls && host.startsWith("/")) {
    throw new TypeError(
      "TLS settings are given for a database on a Unix socket, which never leaves the machine. Remove them.",
    );
  }
  return {
    host,
    port,
    user,
    database,
    password: password ?? refuseMissingPassword,
    ssl: options.tls ? buildTls(host, options.tls) : false,
    sslnegotiation: "postgres",
    application_name: options.applicationName,
    // Without the check, a statement of a process that was killed runs on, with its locks, until its timeout.
    // That something is given also keeps PGOPTIONS of the environment out.
    options: "-c client_min_messages=warning -c client_connection_check_interval=1000",
    connectionTimeoutMillis: options.connectTimeoutMs ?? 5_000,
    statement_timeout: statementTimeoutMs,
    lock_timeout: options.lockTimeoutMs ?? 10_000,
    idle_in_transaction_session_timeout: options.idleInTransactionTimeoutMs ?? 15_000,
    // The server's own timeout is the one that frees its resources; this one only ends the wait for a server that vanished.
    query_timeout: statementTimeoutMs === 0 ? 0 : statementTimeoutMs + serverSilenceGraceMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  };
}

function buildTls(host: string, tls: DatabaseTls): ConnectionOptions {
  const { servername } = tls;
  return {
    rejectUnauthorized: true,
    minVersion: "TLSv1.2",
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls.key === undefined ? {} : { key: tls.key }),
    // node-postgres overwrites `servername` with the host unless that is an IP address, so the name is checked here.
    ...(servername === undefined
      ? {}
      : {
          ...(isIP(host) === 0 ? {} : { servername }),
          checkServerIdentity: (_host, certificate) => checkServerIdentity(servername, certificate),
        }),
  };
}

/** Says goodbye, and hangs up where nobody answers: a server that vanished would hold the socket, and our end, for long. */
export async function endClient(client: Client): Promise<void> {
  const hangUp = setTimeout(() => client.connection.stream.destroy(), goodbyeTimeoutMs);
  try {
    await client.end();
  } finally {
    clearTimeout(hangUp);
  }
}

/** Called by node-postgres only when the server asks for a password; without it, it would go and read `~/.pgpass`. */
function refuseMissingPassword(): never {
  throw new Error("The database asks for a password and its URL has none.");
}
