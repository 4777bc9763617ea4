import type { ErrorReason } from "@minimcp/shared";

/**
 * The reasons that this client knows, as values: a server may be newer. The compiler keeps the list complete.
 */
const serverReasons: Record<ErrorReason, true> = {
  "auth.badCredentials": true,
  "auth.busy": true,
  "auth.emailTaken": true,
  "auth.invitationInvalid": true,
  "auth.refreshTokenInvalid": true,
  "auth.refreshTokenReused": true,
  "auth.sessionEnded": true,
  "auth.signInRequired": true,
  "auth.signUpClosed": true,
  "auth.tokenExpired": true,
  "auth.tokenInvalid": true,
  "permission.denied": true,
  "permission.userRequired": true,
  "user.notFound": true,
  "apiKey.labelTaken": true,
  "apiKey.notFound": true,
  "mcp.configNotAccepted": true,
  "mcp.idempotencyKeyReused": true,
  "mcp.instanceLimit": true,
  "mcp.keyNotAccepted": true,
  "mcp.keyRequired": true,
  "mcp.keyWrongProvider": true,
  "mcp.lifetimeLimit": true,
  "mcp.noCapacity": true,
  "mcp.noWorker": true,
  "mcp.notFound": true,
  "mcp.over": true,
  "mcp.renewalsUsedUp": true,
  "mcp.renewalTooShort": true,
  "mcp.typeUnknown": true,
  "audit.unavailable": true,
  "input.invalid": true,
  "input.notFound": true,
  "input.tooLarge": true,
  "input.unsupportedMediaType": true,
  "stream.limitReached": true,
  "server.internal": true,
  "server.unavailable": true,
  "vault.openFailed": true,
};

export function isServerReason(reason: string): reason is ErrorReason {
  return Object.hasOwn(serverReasons, reason);
}
