export type { ConnectionState, LogOptions, StreamOptions } from "../../../packages/client/src/index.ts";
