import type { Principal } from "@minimcp/core";

import { appRouter } from "./app-router.ts";
import type { RouterContext } from "./context.ts";
import { createCallerFactory } from "./trpc.ts";

const createRouterCaller = createCallerFactory(appRouter);

/**
 * The procedures as functions, for scripts and background work in the same process: same input checks, same
 * permissions, same audit trail, no network.
 * @param principal `system("name")` for the product itself, `actingFor(user)` for one person
 * @example
 * const caller = createCaller(services, actingFor(user));
 * await caller.mcp.list({ live: true });
 */
export function createCaller(services: Omit<RouterContext, "authenticate">, principal: Principal) {
  return createRouterCaller({
    ...services,
    authenticate: () => Promise.resolve(principal),
  } satisfies RouterContext);
}
