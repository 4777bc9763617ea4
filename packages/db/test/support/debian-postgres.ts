import { execFile } from "node:child_process";
import { chown, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

import { Client } from "pg";

const run = promisify(execFile);
const binaries = "/usr/lib/postgresql/15/bin";

export const hasDebianPostgres = existsSync(join(binaries, "postgres"));

export interface ExternalServer extends AsyncDisposable {
  port: number;
  /** URL, through the Unix socket, of a role that owns a database, has CREATEROLE and is no superuser. */
  ownerUrl: string;
  /** The superuser's, for what an administrator would do. */
  administratorUrl: string;
}

/**
 * A server that is not ours: Debian's PostgreSQL 15, set up as an administrator would.
 *
 * @param tls PEM texts with which the server also listens on a loopback port, for TLS connections only.
 */
export async function startDebianPostgres(tls?: { cert: string; key: string }): Promise<ExternalServer> {
  // PostgreSQL refuses to run as root.
  const identity = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : undefined;
  const directory = await mkdtemp("/tmp/minimcp-external-");
  if (identity) await chown(directory, identity.uid, identity.gid);
  const program = (name: string, args: string[]): Promise<unknown> =>
    run(join(binaries, name), args, { ...identity, cwd: "/", env: { LC_ALL: "C" } });
  const data = join(directory, "data");
  const port = await findFreePort();
  await program("initdb", [
    "-D",
    data,
    "-U",
    "administrator",
    "--auth=trust",
    "--no-sync",
    "--no-instructions",
  ]);
  await writeFile(
    join(data, "pg_hba.conf"),
    "local all administrator trust\nlocal all all scram-sha-256\nhostssl all all 127.0.0.1/32 scram-sha-256\n",
  );
  let options = `-c listen_addresses=127.0.0.1 -p ${port} -k ${directory} -c fsync=off`;
  if (tls) {
    for (const name of ["cert", "key"] as const) {
      const file = join(directory, name);
      await writeFile(file, tls[name], { mode: 0o600 });
      if (identity) await chown(file, identity.uid, identity.gid);
      options += ` -c ssl_${name}_file=${file}`;
    }
    options += " -c ssl=on";
  }
  await program("pg_ctl", ["-D", data, "-w", "-s", "-l", join(directory, "log"), "-o", options, "start"]);
  const administratorUrl = `postgresql://administrator@localhost:${port}/postgres?host=${directory}`;
  await administer(administratorUrl, "create role product_owner login createrole password 'owner-password'");
  await administer(administratorUrl, "create database product owner product_owner");
  return {
    port,
    administratorUrl,
    ownerUrl: `postgresql://product_owner:owner-password@localhost:${port}/product?host=${directory}`,
    [Symbol.asyncDispose]: async () => {
      await program("pg_ctl", ["-D", data, "-w", "-s", "-m", "immediate", "stop"]);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

export async function administer(url: string, statement: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address !== "object" || !address) throw new Error("No free port.");
  return address.port;
}
