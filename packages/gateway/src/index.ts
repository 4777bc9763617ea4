export { createIngress, type Ingress } from "./ingress/create-ingress.ts";
export { defaultLimits, type IngressLimits } from "./ingress/limits.ts";
export type { CallRecord, IngressOptions, RelayedMethod } from "./ingress/options.ts";
export type { RefusalReason, Target, Verdict } from "./ingress/verdict.ts";
