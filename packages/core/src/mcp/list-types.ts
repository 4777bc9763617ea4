import type { ApiKeyProvider } from "../api-key/api-key-view.ts";
import { type Context, databaseActor } from "../context.ts";
import { type IsolationView, viewIsolation } from "../isolation.ts";
import { hostsOf, type ServerTypeDeclaration } from "../server-type/declaration.ts";
import { readNodeIsolation, readServerTypes } from "../server-type/read-server-types.ts";

/** A kind of server that an instance can be made of. */
export interface ServerTypeView {
  id: string;
  version: string;
  title: string;
  description: string;
  /** Whose API key it needs; null when it needs none. */
  provider: ApiKeyProvider | null;
  /** What that key must be, in words; null when it needs none. */
  keyRequirement: string | null;
  /** The upstream hosts it can reach. */
  hosts: string[];
  tools: { name: string; description: string }[];
  /** The keys that `config` may have. */
  config: { key: string; description: string }[];
}

export interface TypeList {
  items: ServerTypeView[];
  /** What an instance would run at now; null while no worker is running. */
  isolation: IsolationView | null;
}

/** The catalogue: every type that an instance can be made of. */
export async function listTypes(ctx: Context): Promise<TypeList> {
  return await ctx.db.as(databaseActor(ctx.principal), async (tx) => ({
    items: (await readServerTypes(tx)).map(viewType),
    isolation: viewIsolation(await readNodeIsolation(tx)),
  }));
}

function viewType({
  id,
  version,
  title,
  description,
  credential,
  egress,
  tools,
  config,
}: ServerTypeDeclaration): ServerTypeView {
  return {
    id,
    version,
    title,
    description,
    provider: credential?.provider ?? null,
    keyRequirement: credential?.requirement ?? null,
    hosts: hostsOf({ egress }),
    tools,
    config: Object.entries(config).map(([key, declared]) => ({ key, description: declared.description })),
  };
}
