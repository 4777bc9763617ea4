import type { CreatedInstance } from "@minimcp/shared";

export interface Connection {
  url: string;
  headers: Record<string, string>;
}

/**
 * What an MCP client needs to connect to an instance. The headers hold its token.
 * @example
 * ```ts
 * import { connection, type CreatedInstance } from "@minimcp/client";
 * import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
 *
 * export function transportTo(created: CreatedInstance) {
 *   const { url, headers } = connection(created);
 *   return new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
 * }
 * ```
 */
export function connection(created: Pick<CreatedInstance, "endpoint" | "accessToken">): Connection {
  return { url: created.endpoint, headers: { Authorization: `Bearer ${created.accessToken}` } };
}
