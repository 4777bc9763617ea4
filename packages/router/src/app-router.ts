import { admin } from "./router/admin.ts";
import { apiKey } from "./router/api-key.ts";
import { auth } from "./router/auth.ts";
import { mcp } from "./router/mcp.ts";
import { router } from "./trpc.ts";

export const appRouter = router({ auth, apiKey, mcp, admin });

/** Every procedure with its input and output: what the client SDK is typed by. */
export type AppRouter = typeof appRouter;
