import { createHmac, createPublicKey, randomUUID } from "node:crypto";

import { decodeJwt, decodeProtectedHeader, exportJWK, generateKeyPair, SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { type Account, createAdmin, createUser } from "../support/accounts.ts";
import { query } from "../support/call.ts";
import { type Product, startProduct } from "../support/product.ts";
import { openTokenForge, type TokenForge } from "./support/token-forge.ts";

// The attack: a forged or misused JSON Web Token (RFC 8725). Each attempt below differs in one point from a token that
// is accepted: it is signed by the installation's own key wherever the attack is not about the signature.

let product: Product;
let forge: TokenForge;
let user: Account;
let other: Account;

beforeAll(async () => {
  product = await startProduct({ worker: false });
  const admin = await createAdmin(product);
  [user, other] = await Promise.all([createUser(product, admin), createUser(product, admin)]);
  forge = await openTokenForge(product);
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
});

async function reasonFor(token: string): Promise<string | undefined> {
  const { status, error } = await query(product.api.url, "auth.me", undefined, { token });
  expect(status).toBe(error === undefined ? 200 : 401);
  return error?.reason;
}

function encode(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString("base64url");
}

function now(): number {
  return Math.floor(Date.now() / 1000);
}

test("a token says who, for whom, by whom and for how long, in seconds", () => {
  const claims = decodeJwt(user.token);
  expect(claims).toMatchObject({
    iss: product.api.url,
    aud: `${product.api.url}/trpc`,
    sub: user.id,
    sid: expect.stringMatching(/^[0-9a-f-]{36}$/),
    jti: expect.stringMatching(/^[0-9a-f-]{36}$/),
    epoch: 0,
  });
  expect((claims.exp ?? 0) - (claims.iat ?? 0)).toBe(900);
  expect(Math.abs((claims.iat ?? 0) - now())).toBeLessThan(60);
  expect(decodeProtectedHeader(user.token)).toEqual({ alg: "EdDSA", typ: "at+jwt", kid: forge.kid });
});

test("the forge of this file makes a token that is accepted, so each refusal below has one cause", async () => {
  expect(await reasonFor(await forge.sign(forge.claimsOf(user)))).toBeUndefined();
});

describe("a signature", () => {
  test("that is missing is refused, whatever alg says", async () => {
    for (const alg of ["none", "None", "NONE", "nOnE", "", "EdDSA"]) {
      const unsigned = `${encode({ alg, typ: "at+jwt", kid: forge.kid })}.${encode(forge.claimsOf(user))}`;
      for (const token of [`${unsigned}.`, unsigned])
        expect(await reasonFor(token), alg).toBe("auth.tokenInvalid");
    }
  });

  test("made by HMAC with the public key as the secret is refused", async () => {
    const spki = createPublicKey({ key: forge.publicJwk, format: "jwk" });
    const secrets = [
      Buffer.from(forge.publicJwk.x ?? "", "base64url"),
      forge.publicJwk.x ?? "",
      JSON.stringify(forge.publicJwk),
      spki.export({ type: "spki", format: "pem" }),
      spki.export({ type: "spki", format: "der" }),
      "",
    ];
    for (const alg of ["HS256", "EdDSA"]) {
      for (const secret of secrets) {
        const signed = `${encode({ alg, typ: "at+jwt", kid: forge.kid })}.${encode(forge.claimsOf(user))}`;
        const mac = createHmac("sha256", secret).update(signed).digest("base64url");
        expect(await reasonFor(`${signed}.${mac}`)).toBe("auth.tokenInvalid");
      }
    }
  });

  test("of another key is refused, also when the token brings that key or says where it lies", async () => {
    const { privateKey, publicKey } = await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
    const jwk = await exportJWK(publicKey);
    const headers: object[] = [
      { kid: forge.kid },
      { kid: forge.kid, jwk },
      { jwk },
      { kid: "mine", jwk },
      { kid: "mine", jku: "http://127.0.0.1:1/jwks.json" },
      { kid: "mine", x5u: "http://127.0.0.1:1/x5u" },
      { kid: "mine", x5c: ["MIIB"] },
    ];
    for (const header of headers) {
      const token = await new SignJWT(forge.claimsOf(user))
        .setProtectedHeader({ alg: "EdDSA", typ: "at+jwt", ...header })
        .sign(privateKey);
      expect(await reasonFor(token), Object.keys(header).join()).toBe("auth.tokenInvalid");
    }
  });

  test("does not fit when a byte of the token changes", async () => {
    const token = await forge.sign(forge.claimsOf(user));
    const [header = "", , signature = ""] = token.split(".");
    const raised = encode({ ...forge.claimsOf(user), sub: other.id });
    expect(await reasonFor(`${header}.${raised}.${signature}`)).toBe("auth.tokenInvalid");
    const flipped = Buffer.from(signature, "base64url");
    flipped[0] = (flipped[0] ?? 0) ^ 1;
    expect(await reasonFor(token.replace(signature, flipped.toString("base64url")))).toBe(
      "auth.tokenInvalid",
    );
    expect(await reasonFor(token.slice(0, -4))).toBe("auth.tokenInvalid");
  });
});

describe("a header", () => {
  test.each([
    ["without the key's name", { kid: undefined }],
    ["with the name of a key that is not there", { kid: randomUUID() }],
    ["with a name that is a path", { kid: "../../etc/passwd" }],
    ["with a name that is a statement", { kid: "' or '1'='1" }],
    ["with a name that every object has", { kid: "__proto__" }],
    ["without a type", { typ: undefined }],
    ["of an identity token", { typ: "JWT" }],
    ["of a refresh token", { typ: "rt+jwt" }],
    ["of a logout token", { typ: "logout+jwt" }],
    ["with an extension that must be understood", { crit: ["exp"] }],
  ])("%s is refused", async (_what, header) => {
    const token = await forge.sign(forge.claimsOf(user), header as object).catch((error: unknown) => error);
    // What the library will not sign is put together by hand: it is refused before its signature would matter.
    const sent =
      typeof token === "string"
        ? token
        : `${encode({ alg: "EdDSA", typ: "at+jwt", kid: forge.kid, ...header })}.${encode(forge.claimsOf(user))}.AAAA`;
    expect(await reasonFor(sent)).toBe("auth.tokenInvalid");
  });
});

describe("a claim", () => {
  test.each([
    ["another installation as issuer", () => ({ iss: "https://other.example" })],
    ["no issuer", () => ({ iss: undefined })],
    ["another audience", () => ({ aud: "https://other.example/trpc" })],
    ["the gateway as audience", () => ({ aud: "http://127.0.0.1:5001/mcp" })],
    ["no audience", () => ({ aud: undefined })],
    ["a beginning a minute from now", () => ({ nbf: now() + 60 })],
    ["no beginning", () => ({ nbf: undefined })],
    ["an issue a minute from now", () => ({ iat: now() + 60 })],
    ["an issue in milliseconds", () => ({ iat: Date.now() })],
    ["no issue", () => ({ iat: undefined })],
    ["no end", () => ({ exp: undefined })],
    ["an end that is a text", () => ({ exp: String(now() + 900) })],
    ["no id", () => ({ jti: undefined })],
    ["no user", () => ({ sub: undefined })],
    ["a user that is no id", () => ({ sub: "admin" })],
    ["no session", () => ({ sid: undefined })],
    ["a session that is a statement", () => ({ sid: "' or true --" })],
    ["no epoch", () => ({ epoch: undefined })],
    ["an epoch below zero", () => ({ epoch: -1 })],
    ["an epoch that is a text", () => ({ epoch: "0" })],
  ])("with %s is refused", async (_what, lie) => {
    const claims = Object.fromEntries(
      Object.entries({ ...forge.claimsOf(user), ...lie() }).filter(([, value]) => value !== undefined),
    );
    expect(await reasonFor(await forge.sign(claims))).toBe("auth.tokenInvalid");
  });

  test.each([
    ["an end that has passed", () => ({ exp: now() - 10 })],
    ["an issue 16 minutes ago and an end far away", () => ({ iat: now() - 960, exp: now() + 9_999_999 })],
  ])("with %s is told to refresh", async (_what, lie) => {
    expect(await reasonFor(await forge.sign({ ...forge.claimsOf(user), ...lie() }))).toBe(
      "auth.tokenExpired",
    );
  });

  test.each([
    ["the session of somebody else", () => ({ sid: decodeJwt(other.token)["sid"] })],
    ["the name of somebody else", () => ({ sub: other.id })],
    ["a session that never was", () => ({ sid: randomUUID() })],
    ["an epoch that is yet to come", () => ({ epoch: 1 })],
  ])("with %s is no session", async (_what, lie) => {
    expect(await reasonFor(await forge.sign({ ...forge.claimsOf(user), ...lie() }))).toBe(
      "auth.sessionEnded",
    );
  });

  test("of a role changes nothing: the database says what the user is", async () => {
    const token = await forge.sign({
      ...forge.claimsOf(user),
      role: "admin",
      scope: "admin",
      permissions: ["*"],
    });
    const me = await query(product.api.url, "auth.me", undefined, { token });
    expect(me.data.user.role).toBe("user");
    expect((await query(product.api.url, "admin.users.list", undefined, { token })).status).toBe(403);
  });
});

describe("what is no access token", () => {
  test("is refused: a refresh token, an endpoint's token, an invitation, nonsense", async () => {
    for (const token of [
      user.refreshToken,
      `mcp_${"A".repeat(49)}`,
      `inv_${"A".repeat(49)}`,
      "a.b.c",
      "..",
      "null",
      "x",
    ]) {
      expect(await reasonFor(token), token).toBe("auth.tokenInvalid");
    }
  });

  test.each(["", "Bearer", "Bearer ", "Basic YTpi", "Token x", "Bearer a b", "Bearer a, Bearer b"])(
    "is refused as a header: %j",
    async (authorization) => {
      const { status, error } = await query(product.api.url, "auth.me", undefined, {
        headers: { authorization },
      });
      expect(status).toBe(401);
      expect(["auth.tokenInvalid", "auth.signInRequired"]).toContain(error?.reason);
    },
  );

  test("is not looked for in the address, a cookie or the input", async () => {
    const { token } = user;
    const answers = await Promise.all([
      fetch(
        `${product.api.url}/trpc/auth.me?token=${token}&access_token=${token}&authorization=Bearer%20${token}`,
      ),
      fetch(
        `${product.api.url}/trpc/auth.me?connectionParams=${encodeURIComponent(JSON.stringify({ authorization: `Bearer ${token}`, token }))}`,
      ),
      fetch(`${product.api.url}/trpc/auth.me`, {
        headers: { cookie: `token=${token}; Authorization=Bearer ${token}` },
      }),
    ]);
    expect(answers.map((answer) => answer.status)).toEqual([401, 401, 401]);
    await Promise.all(answers.map((answer) => answer.arrayBuffer()));
  });

  test("is told apart from a live one even when the scheme is written small", async () => {
    const headers = { authorization: `bearer ${user.token}` };
    expect((await query(product.api.url, "auth.me", undefined, { headers })).status).toBe(200);
  });
});
