import { createHash, createHmac, pbkdf2, randomBytes } from "node:crypto";
import { promisify } from "node:util";

const deriveKey = promisify(pbkdf2);
/** PostgreSQL's own default, `scram_iterations`. */
const iterations = 4_096;

/**
 * Computes what PostgreSQL stores for a password (RFC 5803, `SCRAM-SHA-256$…`), so that `ALTER ROLE … PASSWORD` carries
 * the verifier: the password itself would stand in the server's log whenever the statement is logged.
 *
 * @param password printable ASCII, which SASLprep (RFC 4013) leaves as it is.
 * @throws TypeError for any other password.
 */
export async function computeScramVerifier(
  password: string,
  salt: Buffer = randomBytes(16),
): Promise<string> {
  if (!/^[\x21-\x7e]+$/.test(password)) {
    throw new TypeError("A database role's password must be printable ASCII without spaces.");
  }
  const salted = await deriveKey(password, salt, iterations, 32, "sha256");
  const hmac = (message: string): Buffer => createHmac("sha256", salted).update(message).digest();
  const storedKey = createHash("sha256").update(hmac("Client Key")).digest("base64");
  return `SCRAM-SHA-256$${iterations}:${salt.toString("base64")}$${storedKey}:${hmac("Server Key").toString("base64")}`;
}
