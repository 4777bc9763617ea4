import type { AppRouter } from "@minimcp/shared";
import type { QueryClient } from "@tanstack/react-query";
import { createTRPCOptionsProxy, type TRPCOptionsProxy } from "@trpc/tanstack-react-query";

import type { MiniMcpClient } from "./create-client.ts";

export { useSubscription } from "@trpc/tanstack-react-query";

/** Every procedure as options and keys for TanStack Query's hooks. */
export type MiniMcpQueries = TRPCOptionsProxy<AppRouter>;

/**
 * The procedures of a client for TanStack Query: `queryOptions` and `infiniteQueryOptions` of a query,
 * `mutationOptions` of a mutation, `subscriptionOptions` of a subscription, and `queryKey`, `queryFilter`, `pathKey`
 * to invalidate them. What fails is a MiniMcpError: ask it with `isReason`.
 * @param options.queryClient the one that the page's `QueryClientProvider` provides
 * @example
 * ```ts
 * import { createMiniMcpClient, isReason, memoryStore } from "@minimcp/client";
 * import { createMiniMcpQueries } from "@minimcp/client/react";
 * import { QueryClient, useQuery } from "@tanstack/react-query";
 *
 * const queryClient = new QueryClient();
 * const client = createMiniMcpClient({ url: "https://minimcp.example.com", store: memoryStore() });
 * const minimcp = createMiniMcpQueries({ client, queryClient });
 *
 * export function useLiveInstances() {
 *   const { data, error } = useQuery(minimcp.mcp.list.queryOptions({ live: true }));
 *   return { instances: data?.items ?? [], signedOut: isReason(error, "auth.signInRequired") };
 * }
 * ```
 */
export function createMiniMcpQueries(options: {
  client: MiniMcpClient;
  queryClient: QueryClient;
}): MiniMcpQueries {
  return createTRPCOptionsProxy<AppRouter>(options);
}
