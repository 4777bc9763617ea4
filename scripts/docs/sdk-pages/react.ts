export { createMiniMcpQueries, type MiniMcpQueries } from "../../../packages/client/src/react.ts";
