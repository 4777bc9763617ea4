import { randomUUID } from "node:crypto";

import {
  errors,
  exportJWK,
  exportPKCS8,
  generateKeyPair,
  importJWK,
  importPKCS8,
  jwtVerify,
  SignJWT,
} from "jose";
import { z } from "zod";

import { Unauthenticated } from "../errors.ts";
import type { Vault } from "../vault/vault.ts";

export type VerifyingKey = Awaited<ReturnType<typeof importJWK>>;

/** What a verified access token says. */
export interface AccessTokenClaims {
  userId: string;
  sessionId: string;
  /** Older than the account's epoch means: issued before a change of privilege. */
  epoch: number;
}

export interface VerifiedAccessToken extends AccessTokenClaims {
  expiresAt: Date;
}

export interface AccessTokens {
  /** @returns the token and its lifetime */
  issue(claims: AccessTokenClaims): Promise<{ token: string; expiresInSeconds: number }>;
  /** @throws Unauthenticated with `auth.tokenExpired` or `auth.tokenInvalid` */
  verify(token: string): Promise<VerifiedAccessToken>;
}

/** A key pair as it lies in the database. */
export interface SigningKeyRow {
  kid: string;
  publicJwk: { kty: string; crv: string; x: string };
  privateWrapped: Buffer;
  kekKid: string;
}

/** RFC 9068: the type that keeps an access token from being taken for any other kind of JWT. */
const type = "at+jwt";
const algorithm = "EdDSA";
const lifetimeSeconds = 15 * 60;

const Payload = z.object({ sub: z.uuid(), sid: z.uuid(), epoch: z.int().min(0), exp: z.number() });

export async function createSigningKey(vault: Vault): Promise<SigningKeyRow> {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { crv: "Ed25519", extractable: true });
  const kid = randomUUID();
  const { wrapped, kekKid } = vault.sealSigningKey(kid, Buffer.from(await exportPKCS8(privateKey), "utf8"));
  const { kty, crv, x } = await exportJWK(publicKey);
  if (kty === undefined || crv === undefined || x === undefined)
    throw new Error("an Ed25519 key without kty, crv or x");
  return { kid, publicJwk: { kty, crv, x }, privateWrapped: wrapped, kekKid };
}

/**
 * Issues and checks access tokens (RFC 9068, RFC 8725).
 * @param issuer the API's public address; tokens of another installation do not pass here
 * @param active the pair that signs
 * @param verifying every public key whose tokens still count, the active one included
 */
export async function createAccessTokens(options: {
  issuer: string;
  vault: Vault;
  active: SigningKeyRow;
  verifying: readonly Pick<SigningKeyRow, "kid" | "publicJwk">[];
}): Promise<AccessTokens> {
  const { issuer, vault, active } = options;
  const audience = `${issuer}/trpc`;
  const pkcs8 = vault.openSigningKey(active.kid, active.privateWrapped, active.kekKid).toString("utf8");
  const privateKey = await importPKCS8(pkcs8, algorithm);
  const publicKeys = new Map<string, VerifyingKey>();
  for (const key of options.verifying) publicKeys.set(key.kid, await importJWK(key.publicJwk, algorithm));

  return {
    async issue(claims) {
      const token = await new SignJWT({ sid: claims.sessionId, epoch: claims.epoch })
        .setProtectedHeader({ alg: algorithm, typ: type, kid: active.kid })
        .setIssuer(issuer)
        .setAudience(audience)
        .setSubject(claims.userId)
        .setJti(randomUUID())
        .setIssuedAt()
        .setNotBefore("0s")
        .setExpirationTime(`${lifetimeSeconds}s`)
        .sign(privateKey);
      return { token, expiresInSeconds: lifetimeSeconds };
    },
    async verify(token) {
      try {
        const { payload } = await jwtVerify(
          token,
          (header) => {
            // Only keys of this installation, by name: a key or an address inside the token is never looked at.
            const key = header.kid === undefined ? undefined : publicKeys.get(header.kid);
            if (key === undefined) throw new errors.JWKSNoMatchingKey();
            return key;
          },
          {
            algorithms: [algorithm],
            typ: type,
            issuer,
            audience,
            clockTolerance: 5,
            maxTokenAge: lifetimeSeconds,
            requiredClaims: ["exp", "iat", "nbf", "jti"],
          },
        );
        const { sub, sid, epoch, exp } = Payload.parse(payload);
        return { userId: sub, sessionId: sid, epoch, expiresAt: new Date(exp * 1_000) };
      } catch (error) {
        if (error instanceof errors.JWTExpired) {
          throw new Unauthenticated(
            "auth.tokenExpired",
            "The access token has expired. Refresh it or sign in again.",
          );
        }
        throw new Unauthenticated("auth.tokenInvalid", "This is not a valid access token. Sign in again.");
      }
    },
  };
}
