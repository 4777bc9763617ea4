import { randomUUID } from "node:crypto";

import { createVault, parseKeyring } from "@minimcp/core";
import { decodeJwt, importPKCS8, type JWK, type JWTHeaderParameters, type JWTPayload, SignJWT } from "jose";

import type { Account } from "../../support/accounts.ts";
import { type Product, testMasterKey } from "../../support/product.ts";
import { run } from "../../support/sql.ts";

export interface TokenForge {
  kid: string;
  publicJwk: JWK;
  /** Claims of the kind that the API issues to this account, alive now. */
  claimsOf(account: Account): JWTPayload;
  /** Signs with the installation's own key; what is overridden is the lie. */
  sign(claims: JWTPayload, header?: Partial<JWTHeaderParameters>): Promise<string>;
}

/** The installation's signing key, so that each attack on a token differs from a good one in one point. */
export async function openTokenForge(product: Product): Promise<TokenForge> {
  const [row] = await run<{ kid: string; public_jwk: JWK; private_wrapped: Buffer; kek_kid: string }>(
    product.database.ownerUrl,
    "select kid, public_jwk, private_wrapped, kek_kid from signing_keys where state = 'active'",
  );
  if (row === undefined) throw new Error("the installation has no signing key");
  const vault = createVault(parseKeyring(testMasterKey));
  const privateKey = await importPKCS8(
    vault.openSigningKey(row.kid, row.private_wrapped, row.kek_kid).toString("utf8"),
    "EdDSA",
  );
  return {
    kid: row.kid,
    publicJwk: row.public_jwk,
    claimsOf(account) {
      const nowSeconds = Math.floor(Date.now() / 1000);
      return {
        ...decodeJwt(account.token),
        iat: nowSeconds,
        nbf: nowSeconds,
        exp: nowSeconds + 900,
        jti: randomUUID(),
      };
    },
    sign: (claims, header = {}) =>
      new SignJWT(claims)
        .setProtectedHeader({ alg: "EdDSA", typ: "at+jwt", kid: row.kid, ...header })
        .sign(privateKey),
  };
}
