// @peculiar/x509 needs it before it is loaded itself.
// oxlint-disable-next-line import/no-unassigned-import -- it has nothing to name
import "reflect-metadata";
import { webcrypto } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";

import * as x509 from "@peculiar/x509";

import { Refusal } from "./refusal.ts";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
/** Longer than any instance lives, so that no leap of the clock makes a certificate old; the key is gone long before. */
const validityMs = 30 * 24 * 60 * 60 * 1_000;
/** Names for which a child can have certificates made; more than any server calls, few enough to be no load. */
const nameLimit = 64;

export interface TlsAuthority {
  /** PEM, for the child to trust. */
  certificate: string;
  /**
   * The certificate and key with which the broker answers as `host`. Names outside the rules get one too: the denial
   * could not be read otherwise. Hence no name constraints, which would forbid it.
   *
   * @throws Refusal when too many names were asked for
   */
  contextFor(host: string): Promise<SecureContext>;
}

/**
 * The certificate authority of one instance. Only that instance's child trusts it, and its private key can be used
 * but not exported: it is never written anywhere and ends with the process.
 */
export async function createTlsAuthority(now: () => number): Promise<TlsAuthority> {
  const { subtle } = webcrypto;
  const authorityKeys = await subtle.generateKey(algorithm, false, ["sign", "verify"]);
  const leafKeys = await subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const leafKey = x509.PemConverter.encode(
    await subtle.exportKey("pkcs8", leafKeys.privateKey),
    "PRIVATE KEY",
  );
  const from = now();
  const validity = {
    // A child's clock may be a little behind.
    notBefore: new Date(from - 60_000),
    notAfter: new Date(from + validityMs),
  };
  const authority = await x509.X509CertificateGenerator.createSelfSigned({
    name: "CN=MiniMCP instance",
    keys: authorityKeys,
    signingAlgorithm: algorithm,
    ...validity,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      await x509.SubjectKeyIdentifierExtension.create(authorityKeys.publicKey),
    ],
  });
  const certificate = authority.toString("pem");
  // OpenSSL's strict mode, Python's default since 3.13, asks for both identifiers (RFC 5280 section 4.2.1).
  const authorityIdentifier = await x509.AuthorityKeyIdentifierExtension.create(authorityKeys.publicKey);
  const leafIdentifier = await x509.SubjectKeyIdentifierExtension.create(leafKeys.publicKey);

  async function issue(host: string): Promise<SecureContext> {
    const leaf = await x509.X509CertificateGenerator.create({
      // A common name holds 64 characters at most; the name is in the alternative names.
      subject: "CN=MiniMCP egress",
      issuer: authority.subject,
      publicKey: leafKeys.publicKey,
      signingKey: authorityKeys.privateKey,
      signingAlgorithm: algorithm,
      ...validity,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.SubjectAlternativeNameExtension([{ type: "dns", value: host }]),
        authorityIdentifier,
        leafIdentifier,
      ],
    });
    return createSecureContext({ key: leafKey, cert: leaf.toString("pem"), minVersion: "TLSv1.2" });
  }

  const contexts = new Map<string, Promise<SecureContext>>();
  return {
    certificate,
    async contextFor(host) {
      const known = contexts.get(host);
      if (known) return await known;
      if (contexts.size >= nameLimit) throw new Refusal("hostNotAllowed");
      const context = issue(host);
      contexts.set(host, context);
      return await context;
    },
  };
}
