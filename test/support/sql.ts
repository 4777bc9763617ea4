import { parseDatabaseUrl } from "@minimcp/db";
import { Client, Pool, type QueryResultRow } from "pg";

function addressOf(url: string) {
  const { host, port, user, password, database } = parseDatabaseUrl(url);
  return { host, port, user, password: password ?? "", database };
}

/** Works on one connection as the role of the URL, with nothing of ours in between. */
export async function connected<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ ...addressOf(url), application_name: "raw sql" });
  // A server that is killed says so between two statements too; the next one fails of it.
  client.on("error", () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** One statement as the role of the URL. */
export async function run<Row extends QueryResultRow = QueryResultRow>(
  url: string,
  statement: string,
  values: unknown[] = [],
): Promise<Row[]> {
  return await connected(url, async (client) => (await client.query<Row>(statement, values)).rows);
}

/** How the server refused a statement, as its SQLSTATE; null when it did not. */
export async function refusal(
  url: string,
  statement: string,
): Promise<{ code: string; message: string } | null> {
  try {
    await run(url, statement);
    return null;
  } catch (error) {
    return { code: (error as { code?: string }).code ?? "none", message: (error as Error).message };
  }
}

export function openPool(url: string, max: number): Pool {
  return new Pool({ ...addressOf(url), max, application_name: "raw sql" });
}

/** Everything that is stored, table by table, each row as text: what somebody holds who got the database. */
export async function dump(ownerUrl: string): Promise<Map<string, string[]>> {
  return await connected(ownerUrl, async (client) => {
    const tables = await client.query<{ name: string }>(
      `select format('%I.%I', schemaname, tablename) as name from pg_tables
       where schemaname not in ('pg_catalog', 'information_schema') order by 1`,
    );
    const rows = new Map<string, string[]>();
    for (const { name } of tables.rows) {
      const { rows: stored } = await client.query<{ row: string }>(
        `select t::text as row from ${name} t order by 1`,
      );
      rows.set(
        name,
        stored.map(({ row }) => row),
      );
    }
    return rows;
  });
}

/** Where a secret lies in a dump: in clear, in hexadecimal or in Base64. */
export function findSecret(stored: Map<string, string[]>, secret: string): string[] {
  const bytes = Buffer.from(secret, "utf8");
  const forms = [secret, bytes.toString("hex"), bytes.toString("base64").replace(/=+$/, "")];
  return [...stored].flatMap(([table, rows]) =>
    rows.some((row) => forms.some((form) => row.includes(form))) ? [table] : [],
  );
}
