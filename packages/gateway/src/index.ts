export type { Decision } from "./egress/decision.ts";
export { type Broker, openBroker } from "./egress/open-broker.ts";
export type { BrokerOptions, CredentialOptions, EgressRule, Injection } from "./egress/options.ts";
export { refreshAccessToken, type RefreshGrant } from "./egress/refresh-access-token.ts";
export { createIngress, type Ingress } from "./ingress/create-ingress.ts";
export { defaultLimits, type IngressLimits } from "./ingress/limits.ts";
export type { CallRecord, IngressOptions, RelayedMethod } from "./ingress/options.ts";
export type { RefusalReason, Target, Verdict } from "./ingress/verdict.ts";
