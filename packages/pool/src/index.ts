export type { Child, ChildState, Exit } from "./child.ts";
export type { HostOptions } from "./host.ts";
export { type IsolationLevel, meetsLevel } from "./isolation-level.ts";
export { type Isolation, type ProbeOptions, probeIsolation } from "./isolation.ts";
export { type ChildLimits, defaultLimits, type Limit } from "./limits.ts";
export type { LogLine, LogRing } from "./log-ring.ts";
export { type ChildSpec, type Pool, type PoolEvent, type PoolOptions, openPool } from "./pool.ts";
export { PoolError, type PoolErrorReason } from "./pool-error.ts";
export { systemToolPath } from "./tools.ts";
