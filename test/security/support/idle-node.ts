import { run } from "../../support/sql.ts";

/** A node that says it is alive and runs nothing: instances can be created, and stay as they were created. */
export async function addIdleNode(ownerUrl: string): Promise<void> {
  await run(
    ownerUrl,
    `insert into nodes (id, epoch, address, isolation, alive_until)
     values (gen_random_uuid(), gen_random_uuid(), 'none', '{"level":"none","parts":{}}', now() + interval '1 day')`,
  );
}
