export type { Decision } from "./egress/decision.ts";
export { resolveBySystem, type Resolve } from "./egress/dialer.ts";
export { defaultEgressLimits, type EgressLimits } from "./egress/limits.ts";
export { type Broker, openBroker } from "./egress/open-broker.ts";
export type {
  AccessToken,
  BrokerOptions,
  CredentialOptions,
  CredentialSource,
  EgressRule,
  Injection,
  PlaceholderForm,
} from "./egress/options.ts";
export { isPublicAddress } from "./egress/public-address.ts";
export { refreshAccessToken, type RefreshGrant } from "./egress/refresh-access-token.ts";
export type { RefusalReason as EgressRefusalReason } from "./egress/refusal.ts";
export { createIngress, type Ingress } from "./ingress/create-ingress.ts";
export { defaultLimits, type IngressLimits } from "./ingress/limits.ts";
export type { CallRecord, IngressOptions, RelayedMethod } from "./ingress/options.ts";
export type { RefusalReason, Target, Verdict } from "./ingress/verdict.ts";
