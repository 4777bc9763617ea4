import { isIP } from "node:net";
import { resolve } from "node:path";

import { parseDatabaseUrl } from "@minimcp/db";
import { z } from "zod";

import { defaultSettings } from "../context.ts";
import { isolationLevels } from "../isolation.ts";
import { KeyringError, parseKeyring } from "../vault/keyring.ts";
import { type CrossCheck, secret } from "./read-config.ts";

/**
 * The settings that more than one process reads, each written down once: its form, its default, and the sentence that
 * the configuration reference prints.
 */

/** A whole number from a text such as an environment variable. */
function wholeNumber(minimum: number, maximum: number) {
  return z
    .string()
    .regex(/^\d{1,15}$/, `must be a whole number from ${minimum} to ${maximum}`)
    .transform(Number)
    .pipe(z.int().min(minimum, `must be at least ${minimum}`).max(maximum, `must be at most ${maximum}`));
}

function port(fallback: number) {
  return wholeNumber(0, 65_535).default(fallback);
}

const commaList = z
  .string()
  .default("")
  .transform((text) =>
    text
      .split(",")
      .map((entry) => entry.trim())
      .filter((entry) => entry !== ""),
  );

/** An address that clients use, without a slash at its end so that paths can be appended. */
const publicAddress = z
  .url({ protocol: /^https?$/, error: "must be an http or https address" })
  .transform((text) => text.replace(/\/+$/, ""));

const databaseUrl = z
  .string()
  .regex(/^postgres(ql)?:\/\//, "must start with postgres://")
  .meta(secret);

/** A range of everything is none: it would let everybody say where they come from. */
function isAddressOrRange(text: string): boolean {
  const [address = "", bits, ...rest] = text.split("/");
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return false;
  if (bits === undefined) return true;
  return /^[1-9]\d{0,2}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128);
}

/** Below lie the accounts of the system, above what some file systems and tools cannot hold. */
const instanceUids = { least: 1_000, most: 2_000_000_000, count: 10_000 };

/** `first-last`. Children are told apart by these, so a range takes nothing that a person or a service has. */
const uidRange = z
  .string()
  .regex(/^\d{1,10}-\d{1,10}$/, "must be two numbers, such as 20000-20099")
  .transform((text) => {
    const [firstUid = 0, lastUid = 0] = text.split("-").map(Number);
    return { firstUid, count: lastUid - firstUid + 1 };
  })
  .refine(({ count }) => count >= 1, "must name the lower number first")
  .refine(({ count }) => count <= instanceUids.count, `must be at most ${instanceUids.count} numbers`)
  .refine(
    ({ firstUid, count }) => firstUid >= instanceUids.least && firstUid + count - 1 <= instanceUids.most,
    `must lie between ${instanceUids.least} and ${instanceUids.most}`,
  );

const modes = ["local", "production"] as const;

export const settings = {
  MINIMCP_MODE: z
    .enum(modes, "must be local or production")
    .default("local")
    .describe(
      "`local`: loopback only, HTTP, best isolation the host offers. `production`: every secret given, TLS or a trusted proxy, isolation `strict` unless `MINIMUM_ISOLATION` names another.",
    ),
  MINIMCP_HOME: z
    .string()
    .default(".minimcp")
    .transform((path) => resolve(path))
    .describe("Where secrets, logs and the embedded database live."),
  HOST: z
    .string()
    .default("127.0.0.1")
    .describe(
      "The address that the API, the gateway and the dashboard listen on. In local mode it must be a loopback address.",
    ),
  API_PORT: port(5000).describe("Port of the API."),
  GATEWAY_PORT: port(5001).describe("Port of the gateway, where MCP clients connect."),
  PUBLIC_URL: publicAddress
    .optional()
    .describe("The API's address as clients see it. Default: `http://127.0.0.1:<API_PORT>`."),
  GATEWAY_URL: publicAddress
    .optional()
    .describe("The gateway's address as clients see it. Default: `http://127.0.0.1:<GATEWAY_PORT>`."),
  DASHBOARD: z
    .enum(["on", "off"], "must be on or off")
    .default("on")
    .describe("Whether `minimcp start` runs the dashboard. `--no-dashboard` is the same as `off`."),
  DASHBOARD_PORT: port(3000).describe("Port of the dashboard."),
  DASHBOARD_URL: publicAddress
    .optional()
    .describe(
      "The dashboard's address as browsers see it; requests under another name are refused. Default: `http://127.0.0.1:<DASHBOARD_PORT>`. Required in production, where it must be https.",
    ),
  SESSION_SECRET: z
    .string()
    .regex(
      /^(?:[0-9a-f]{64}|[1-9]\d{0,8}:[0-9a-f]{64}(?:,[1-9]\d{0,8}:[0-9a-f]{64})*)$/i,
      "must be 64 hexadecimal digits, or several keys as 2:<new>,1:<old>",
    )
    .meta(secret)
    .describe(
      "Seals the dashboard's session cookie: 64 hexadecimal digits. To change it, give both as `2:<new>,1:<old>` until the old cookies are over, which takes 12 hours.",
    ),
  HOP_SECRET: z
    .string()
    .regex(/^[0-9a-f]{64}$/i, "must be 64 hexadecimal digits")
    .optional()
    .meta(secret)
    .describe(
      "Proves to the API that a call comes from the dashboard, whose word is then believed for the browser's address. `minimcp start` makes one for each of its lives.",
    ),
  ALLOWED_ORIGINS: commaList.describe(
    "Web origins, separated by commas, whose pages may call the gateway. Programs send no Origin and need none.",
  ),
  TLS_CERT_FILE: z
    .string()
    .optional()
    .describe("PEM certificate chain of the API, the gateway and the dashboard."),
  TLS_KEY_FILE: z.string().optional().describe("PEM private key that belongs to it."),
  TRUSTED_PROXIES: commaList
    .refine(
      (addresses) => addresses.every(isAddressOrRange),
      "must be IP addresses or ranges such as 10.0.0.0/8, separated by commas",
    )
    .describe(
      "Addresses of reverse proxies, separated by commas, whose `X-Forwarded-For` is believed. Naming one also says that it ends TLS.",
    ),
  DATABASE_URL: databaseUrl
    .optional()
    // Said again, because optional() makes a new form without it.
    .meta(secret)
    .describe(
      "The database owner's URL, used by migration alone. Without it `minimcp start` runs an embedded PostgreSQL.",
    ),
  DATABASE_URL_API: databaseUrl.describe("The API's database URL, for the role `minimcp_api`."),
  DATABASE_URL_WORKER: databaseUrl.describe("The worker's database URL, for the role `minimcp_worker`."),
  DATABASE_CA_FILE: z
    .string()
    .optional()
    .describe(
      "PEM certificate of the authority that signed the database server's certificate. With it every connection is encrypted and the server's name is verified; required in production unless the database is on a Unix socket.",
    ),
  DATABASE_CERT_FILE: z
    .string()
    .optional()
    .describe("PEM client certificate, for a database that asks for one."),
  DATABASE_KEY_FILE: z.string().optional().describe("PEM private key that belongs to it."),
  MASTER_KEY: z
    .string()
    .transform((text, check) => {
      try {
        return parseKeyring(text);
      } catch (error) {
        check.addIssue({
          code: "custom",
          message: error instanceof KeyringError ? error.message : "is not a keyring",
        });
        return z.NEVER;
      }
    })
    .meta(secret)
    .describe(
      "64 hexadecimal digits, or several keys as `kid:hex,kid:hex` with the active one first. Wraps everything that is stored sealed.",
    ),
  SIGN_UP_POLICY: z
    .enum(["invite", "open", "closed"], "must be invite, open or closed")
    .default("invite")
    .describe("Who may create an account: whoever has an invitation, anybody, or nobody."),
  INSTANCES_PER_USER: wholeNumber(1, 10_000)
    .default(defaultSettings.instancesPerUser)
    .describe("How many instances one user may have at a time."),
  INSTANCES_PER_NODE: wholeNumber(1, 10_000)
    .default(100)
    .describe(
      "How many instances a worker holds at a time. Beyond that it takes none, and creating one is refused. As root they are at most as many as `INSTANCE_UIDS` names, and without namespaces at most 100, the number of ports for servers that need one.",
    ),
  INSTANCE_UIDS: uidRange
    .prefault("20000-20099")
    .describe(
      "The users, by number, under which a worker that root runs starts instances, one each: `first-last`. Nobody else on the host may have them. The workers of one host may share them.",
    ),
  RENEWALS_PER_INSTANCE: wholeNumber(0, 1_000)
    .default(defaultSettings.renewalsPerInstance)
    .describe("How often `mcp.renew` can move the deadline of one instance. 0 allows no renewal."),
  RENEWED_LIFETIME_MINUTES: wholeNumber(1, 43_200)
    .default(defaultSettings.renewedLifetimeMinutes)
    .describe(
      "How long an instance lives at most from its creation, in minutes, however often it is renewed.",
    ),
  STREAMS_PER_USER: wholeNumber(1, 1_000)
    .default(20)
    .describe(
      "How many streams (`mcp.watch`, `mcp.watchAll`, `mcp.logs`) one user may have open at an API process at a time.",
    ),
  LOG_LEVEL: z
    .enum(["debug", "info", "warn", "error"], "must be debug, info, warn or error")
    .default("info")
    .describe("How much is logged."),
  MINIMUM_ISOLATION: z
    .enum(isolationLevels, `must be one of ${isolationLevels.join(", ")}`)
    .optional()
    .describe(
      "Below this level nothing starts. Default: `strict` in production; in local mode the best level that this home has run at.",
    ),
  RUNTIME_DIRECTORY: z
    .string()
    .startsWith("/", "must be an absolute path")
    .optional()
    .describe(
      "Where the worker keeps sockets and staged programs. Default: `/run/minimcp`, else `$XDG_RUNTIME_DIR/minimcp`, else `/tmp/minimcp-<uid>`.",
    ),
  SANDBOX_TOOL_PATH: z
    .string()
    .default("")
    .transform((text) => text.split(":").filter((directory) => directory !== ""))
    .describe(
      "Directories, separated by colons, in which bwrap, setpriv and prlimit are looked up. Default: the system's.",
    ),
  WORKER_CONCURRENCY: wholeNumber(1, 64).default(4).describe("How many instances a worker starts at once."),
} as const;

/** What the mode demands of the other settings of a process that listens. */
export const checkMode: CrossCheck<
  Pick<typeof settings, "MINIMCP_MODE" | "HOST" | "TLS_CERT_FILE" | "TLS_KEY_FILE" | "TRUSTED_PROXIES">
> = (values, complain) => {
  if ((values.TLS_CERT_FILE === undefined) !== (values.TLS_KEY_FILE === undefined)) {
    complain(
      "TLS_CERT_FILE",
      "a certificate and its key go together: give TLS_CERT_FILE and TLS_KEY_FILE, or neither",
    );
  }
  if (values.MINIMCP_MODE === "local" && values.HOST !== undefined && !isLoopback(values.HOST)) {
    complain("HOST", "local mode listens on loopback only; use 127.0.0.1, or set MINIMCP_MODE=production");
  }
  const endsTls = values.TLS_CERT_FILE !== undefined || (values.TRUSTED_PROXIES?.length ?? 0) > 0;
  if (values.MINIMCP_MODE === "production" && !endsTls) {
    complain(
      "TLS_CERT_FILE",
      "production needs TLS: give TLS_CERT_FILE and TLS_KEY_FILE, or name the proxy that ends TLS in TRUSTED_PROXIES",
    );
  }
};

/**
 * What the mode demands of the way to the database.
 * @param urls the database URLs of the process, by the names of their settings
 */
export function checkDatabase(
  values: {
    MINIMCP_MODE?: string | undefined;
    DATABASE_CA_FILE?: string | undefined;
    DATABASE_CERT_FILE?: string | undefined;
    DATABASE_KEY_FILE?: string | undefined;
  },
  urls: Readonly<Record<string, string | undefined>>,
  complain: (name: string, message: string) => void,
): void {
  if ((values.DATABASE_CERT_FILE === undefined) !== (values.DATABASE_KEY_FILE === undefined)) {
    complain(
      "DATABASE_CERT_FILE",
      "a certificate and its key go together: give DATABASE_CERT_FILE and DATABASE_KEY_FILE, or neither",
    );
  }
  for (const [name, url] of Object.entries(urls)) {
    if (url === undefined) continue;
    try {
      const { host, password } = parseDatabaseUrl(url);
      const isRemote = !host.startsWith("/");
      if (password === undefined) complain(name, "has no password");
      if (values.MINIMCP_MODE === "production" && isRemote && values.DATABASE_CA_FILE === undefined) {
        complain(
          name,
          "production needs TLS to the database: give the server's authority as DATABASE_CA_FILE",
        );
      }
    } catch (error) {
      complain(name, error instanceof Error ? error.message : "cannot be read");
    }
  }
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}
