// A database on the network is somebody else's machine until its certificate proves otherwise: without this proof,
// whoever answers in its place receives every password hash and sealed key.
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { sql } from "drizzle-orm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { type Database, openDatabase } from "../src/index.ts";
import { type ExternalServer, hasDebianPostgres, startDebianPostgres } from "./support/debian-postgres.ts";

const run = promisify(execFile);

interface Certificate {
  cert: string;
  key: string;
}

async function makeCertificate(name: string): Promise<Certificate> {
  const directory = await mkdtemp("/tmp/minimcp-certificate-");
  try {
    const [cert, key] = [join(directory, "cert.pem"), join(directory, "key.pem")];
    const request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1".split(" ");
    const names = ["-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`];
    await run("openssl", [...request, ...names, "-keyout", key, "-out", cert]);
    return { cert: await readFile(cert, "utf8"), key: await readFile(key, "utf8") };
  } finally {
    await rm(directory, { recursive: true });
  }
}

describe.runIf(hasDebianPostgres)("TLS to the database", () => {
  let server: ExternalServer;
  let genuine: Certificate;

  beforeAll(async () => {
    genuine = await makeCertificate("db.internal");
    server = await startDebianPostgres(genuine);
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
  });

  function open(tls: Parameters<typeof openDatabase>[0]["tls"]): Database {
    const url = `postgresql://product_owner:owner-password@127.0.0.1:${server.port}/product`;
    return openDatabase({ url, applicationName: "tls.test", tls });
  }

  test("with the right authority and name, the connection is encrypted", async () => {
    await using database = open({ ca: genuine.cert, servername: "db.internal" });
    const { rows } = await database.as({ userId: null, scope: "system" }, (tx) =>
      tx.execute(sql`select ssl from pg_stat_ssl where pid = pg_backend_pid()`),
    );
    expect(rows).toEqual([{ ssl: true }]);
  });

  test("a certificate of an authority we do not know is refused", async () => {
    await using database = open({ servername: "db.internal" });
    await expect(database.ping()).rejects.toMatchObject({
      reason: "cannotConnect",
      cause: { code: "DEPTH_ZERO_SELF_SIGNED_CERT" },
    });
    await using other = open({ ca: (await makeCertificate("db.internal")).cert, servername: "db.internal" });
    await expect(other.ping()).rejects.toMatchObject({ reason: "cannotConnect" });
  });

  test("a certificate for another name is refused", async () => {
    for (const servername of ["db.elsewhere", undefined]) {
      await using database = open({ ca: genuine.cert, servername });
      await expect(database.ping()).rejects.toMatchObject({
        cause: { code: "ERR_TLS_CERT_ALTNAME_INVALID" },
      });
    }
  });

  test("a server that speaks no TLS is refused where TLS is set", async () => {
    await using plain = await startDebianPostgres();
    const url = `postgresql://product_owner:owner-password@127.0.0.1:${plain.port}/product`;
    await using database = openDatabase({ url, applicationName: "tls.test", tls: { ca: genuine.cert } });
    await expect(database.ping()).rejects.toMatchObject({
      reason: "cannotConnect",
      cause: { message: "The server does not support SSL connections" },
    });
  });
});
