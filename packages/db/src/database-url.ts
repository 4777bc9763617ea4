/** Where a database is and as whom to sign in; everything else (TLS, timeouts) arrives as options. */
export interface DatabaseAddress {
  /** A host name, an IP address, or the absolute directory of a Unix socket. */
  host: string;
  port: number;
  user: string;
  /** `undefined` where the URL has none; a server that asks for one then gets a clear refusal. */
  password: string | undefined;
  database: string;
}

const parametersAllowed = new Set(["host", "port", "user", "password"]);

/**
 * Reads a `postgres://` or `postgresql://` URL.
 *
 * A Unix socket is written as libpq and psql write it: `postgresql://user:password@localhost/database?host=/directory`
 * or `postgres:///database?host=/directory&user=…`.
 *
 * node-postgres would let the URL decide about TLS: any `sslmode` in it *replaces* the configured TLS options, and
 * `no-verify` drops every check altogether. So a URL says where and who, and nothing else.
 *
 * @throws TypeError naming what is wrong; the message never repeats the URL, which holds a password.
 */
export function parseDatabaseUrl(url: string): DatabaseAddress {
  const parsed = parseUrl(url);
  for (const name of parsed.searchParams.keys()) {
    if (/^ssl/i.test(name) || /^uselibpqcompat$/i.test(name)) {
      throw new TypeError(
        `The database URL contains "${name}". Remove it: TLS to the database has settings of its own (CA, client certificate, server name), and a parameter here would override their checks.`,
      );
    }
    if (!parametersAllowed.has(name)) {
      throw new TypeError(
        `The database URL contains the unknown parameter "${name}". Known are ${[...parametersAllowed].join(", ")}.`,
      );
    }
  }
  const parameter = (name: string): string | undefined => parsed.searchParams.get(name) || undefined;

  const host = parameter("host") ?? decodeURIComponent(parsed.hostname).replace(/^\[(.+)\]$/, "$1");
  const user = parameter("user") ?? decodeURIComponent(parsed.username);
  const database = decodeURIComponent(parsed.pathname.slice(1));
  const port = Number(parameter("port") ?? (parsed.port || "5432"));
  const missing = Object.entries({ host, user, database }).flatMap(([name, value]) => (value ? [] : [name]));
  if (missing.length > 0) {
    throw new TypeError(
      `The database URL names no ${missing.join(", no ")}. The form is postgresql://user:password@host:5432/database.`,
    );
  }
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new TypeError("The port in the database URL must be a number from 1 to 65535.");
  }
  return {
    host,
    port,
    user,
    password: parameter("password") ?? (decodeURIComponent(parsed.password) || undefined),
    database,
  };
}

function parseUrl(url: string): URL {
  // libpq allows an empty host after the credentials ("user:password@/database?host=…"); WHATWG URLs do not.
  const candidate = url.replace(/^(postgres(?:ql)?:\/\/[^/?#]*@)\//, "$1localhost/");
  const parsed = URL.parse(candidate);
  if (!parsed || !/^postgres(?:ql)?:$/.test(parsed.protocol)) {
    throw new TypeError(
      "The database URL cannot be read. The form is postgresql://user:password@host:5432/database, with special characters percent-encoded.",
    );
  }
  return parsed;
}

/** The reverse of `parseDatabaseUrl`, in the form that node-postgres, psql and pg_dump read alike. */
export function buildDatabaseUrl({ host, port, user, password, database }: DatabaseAddress): string {
  const url = new URL(`postgresql://localhost/${encodeURIComponent(database)}`);
  url.username = encodeURIComponent(user);
  url.password = encodeURIComponent(password ?? "");
  url.port = String(port);
  if (host.startsWith("/")) url.searchParams.set("host", host);
  else url.hostname = host.includes(":") ? `[${host}]` : host;
  return url.href;
}
