import { apiKeyProviders } from "@minimcp/db/schema";
import { z } from "zod";

/** An exact name: a wildcard would admit hosts that somebody else can register. */
const HostName = z
  .string()
  .max(253)
  .regex(/^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+$/, "must be a host name")
  .regex(/[a-z]$/, "must be a name and not an address");

/** One that can be read in one way only. */
const Path = z
  .string()
  .max(500)
  .startsWith("/", "must begin with a slash")
  .regex(/^[\w.~!$&'()*+,=:@/-]*$/, "must hold nothing encoded, no query and no fragment")
  .refine((path) => !/\/(?:\/|\.{1,2}(?:\/|$))/.test(path), "must have no empty and no dot segment");

/** One thing that a server may call upstream. What no rule admits is denied. */
export const EgressRule = z.strictObject({
  host: HostName,
  port: z.int().min(1).max(65_535),
  methods: z.array(z.enum(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])).min(1),
  /** `/repos` admits `/repos` and `/repos/…`, not `/repository`. */
  pathPrefixes: z.array(Path).min(1).max(50),
});
export type EgressRule = z.infer<typeof EgressRule>;

/** What a process must not be given by a declaration: it would change how it runs, or what it is told by the node. */
const reservedNames =
  /^(?:NODE_.*|LD_.*|MCP_.*|MINIMCP_.*|PATH|PORT|HOME|TMPDIR|SSL_CERT_.*|REQUESTS_CA_BUNDLE)$/;

export const EnvironmentName = z
  .string()
  .regex(/^[A-Z][A-Z0-9_]{0,63}$/, "must be a name in capitals")
  .refine(
    (name) => !reservedNames.test(name),
    "is a name that the node itself sets, or that changes the runtime",
  );

const Header = z.string().regex(/^[a-z0-9-]{1,64}$/, "must be a header's name in lower case");

/** How the broker presents the real secret, and to whom. */
const Injection = z.discriminatedUnion("scheme", [
  z.strictObject({ scheme: z.literal("bearer"), hosts: z.array(HostName).min(1) }),
  z.strictObject({
    scheme: z.literal("basic"),
    hosts: z.array(HostName).min(1),
    /** The secret is the password. */
    username: z.string().max(100).optional(),
  }),
  z.strictObject({
    scheme: z.literal("header"),
    hosts: z.array(HostName).min(1),
    header: Header,
    /** Stands before the secret, such as `token `. */
    prefix: z.string().max(50).optional(),
  }),
]);

/** So many characters of a placeholder are left to chance at least: nobody meets one by accident. */
const randomCharacters = 20;

/** What the node itself puts beside the files of a declaration. */
const reservedFiles = new Set(["egress.sock", "egress-ca.pem"]);

const FileName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/i, "must be the name of a file, of at most 64 characters")
  .refine((name) => !reservedFiles.has(name), "is a file that the node itself puts there");

/** How a third-party server is given something that looks like its key. */
const Placeholder = z.strictObject({
  form: z
    .strictObject({
      prefix: z.string().max(50),
      /** In characters, with the prefix. */
      length: z.int().max(500),
    })
    .refine(
      ({ prefix, length }) => length - prefix.length >= randomCharacters,
      `must leave at least ${randomCharacters} characters to chance`,
    ),
  /** Variables whose value it is. */
  env: z.array(EnvironmentName).max(10).optional(),
  files: z
    .array(
      z.strictObject({
        /** The variable that tells the path. */
        env: EnvironmentName,
        path: FileName,
        content: z.string().max(10_000).includes("{{placeholder}}"),
      }),
    )
    .max(10)
    .refine((files) => new Set(files.map(({ path }) => path)).size === files.length, "has one file twice")
    .optional(),
});

/** The key that a server needs. The server itself never gets it. */
export const CredentialDeclaration = z.strictObject({
  provider: z.enum(apiKeyProviders),
  /** What the key must be, in words for its owner: kind, rights, where to make it. */
  requirement: z.string().min(1).max(500),
  inject: Injection,
  /** Null for a server of ours, which holds nothing. */
  placeholder: Placeholder.nullable(),
  /** A token endpoint that wants the secret in a body: the broker answers it itself. */
  tokenEndpoint: z.strictObject({ host: HostName, path: Path }).optional(),
});
export type CredentialDeclaration = z.infer<typeof CredentialDeclaration>;
