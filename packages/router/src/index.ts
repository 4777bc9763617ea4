export { appRouter, type AppRouter } from "./app-router.ts";
export { createCaller } from "./caller.ts";
export type { RouterContext } from "./context.ts";
export { answerFor, type ErrorAnswer } from "./errors.ts";
export { assertPermissions } from "./trpc.ts";
