import { readFileSync } from "node:fs";
import type { ServerOptions } from "node:https";

import type { DatabaseTls } from "@minimcp/db";

/** AEAD suites with forward secrecy: TLS 1.3's own, then their equals for TLS 1.2 (ASVS 5.0 section 12.1). */
const cipherSuites = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
].join(":");

/**
 * How this installation's servers speak TLS; undefined where no certificate is configured.
 * @throws the system's error when a file cannot be read
 */
export function readTls(config: {
  TLS_CERT_FILE?: string | undefined;
  TLS_KEY_FILE?: string | undefined;
}): ServerOptions | undefined {
  const { TLS_CERT_FILE: cert, TLS_KEY_FILE: key } = config;
  if (cert === undefined || key === undefined) return undefined;
  return {
    cert: readFileSync(cert),
    key: readFileSync(key),
    minVersion: "TLSv1.2",
    ciphers: cipherSuites,
    honorCipherOrder: true,
  };
}

/**
 * How this installation's processes speak TLS to the database; undefined where no authority is configured.
 * @throws the system's error when a file cannot be read
 */
export function readDatabaseTls(config: {
  DATABASE_CA_FILE?: string | undefined;
  DATABASE_CERT_FILE?: string | undefined;
  DATABASE_KEY_FILE?: string | undefined;
}): DatabaseTls | undefined {
  const { DATABASE_CA_FILE: ca, DATABASE_CERT_FILE: cert, DATABASE_KEY_FILE: key } = config;
  if (ca === undefined) return undefined;
  return {
    ca: readFileSync(ca, "utf8"),
    cert: cert === undefined ? undefined : readFileSync(cert, "utf8"),
    key: key === undefined ? undefined : readFileSync(key, "utf8"),
  };
}
