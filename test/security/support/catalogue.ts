import { run } from "./sql.ts";

/** A node that says it is alive and runs nothing: instances can be created, and stay as they were created. */
export async function addIdleNode(ownerUrl: string): Promise<void> {
  await run(
    ownerUrl,
    `insert into nodes (id, epoch, address, isolation, alive_until)
     values (gen_random_uuid(), gen_random_uuid(), 'none', '{"level":"none","parts":{}}', now() + interval '1 day')`,
  );
}

/** A type of the catalogue that takes these configuration keys, or a key of this provider. */
export async function addServerType(
  ownerUrl: string,
  id: string,
  { provider = null, configKeys = [] }: { provider?: string | null; configKeys?: string[] },
): Promise<void> {
  const declaration = {
    id,
    version: "1",
    title: "A type for tests",
    description: "Nothing runs it",
    bundle: "none",
    provider,
    hosts: [],
    tools: [],
    config: Object.fromEntries(configKeys.map((key) => [key, { description: "a text", argument: "--a" }])),
  };
  await run(ownerUrl, "insert into server_types (id, version, declaration) values ($1, '1', $2)", [
    id,
    declaration,
  ]);
}
