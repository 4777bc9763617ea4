export { DatabaseUnavailable } from "@minimcp/db";

export { type ApiKeyProvider, type ApiKeyView } from "./api-key/api-key-view.ts";
export { CreateApiKey, createApiKey } from "./api-key/create-api-key.ts";
export { deleteApiKey } from "./api-key/delete-api-key.ts";
export { ApiKeyId, getApiKey } from "./api-key/get-api-key.ts";
export { listApiKeys } from "./api-key/list-api-keys.ts";
export { appendAudit, type AuditEntry } from "./audit.ts";
export { createAuthenticator, type Authenticator } from "./auth/authenticate.ts";
export { me, type Me, type SessionView } from "./auth/me.ts";
export { createPasswords, NewPassword, type PasswordOptions, type Passwords } from "./auth/passwords.ts";
export { Refresh, refresh, type Refreshed } from "./auth/refresh.ts";
export { createOpenStreams, type OpenStream, type OpenStreams } from "./auth/open-streams.ts";
export type { SessionBearer, TokenPair } from "./auth/session-tokens.ts";
export { SignIn, signIn, type SignedIn } from "./auth/sign-in.ts";
export { signOut } from "./auth/sign-out.ts";
export { SignUp, signUp, type SignedUp } from "./auth/sign-up.ts";
export {
  ConfigError,
  type CrossCheck,
  type Environment,
  isSecret,
  readConfig,
  secret,
  type SettingFields,
  type SettingValues,
} from "./config/read-config.ts";
export { checkDatabase, checkMode, settings } from "./config/settings.ts";
export { readDatabaseTls, readTls } from "./config/tls.ts";
export {
  type Context,
  databaseActor,
  defaultSettings,
  type RequestOrigin,
  requireUser,
  type Settings,
} from "./context.ts";
export { describeError, type DescribedError } from "./describe-error.ts";
export {
  AppError,
  Forbidden,
  InvalidInput,
  LimitReached,
  type ErrorKind,
  type ErrorReason,
  type InputIssue,
  Unauthenticated,
  Unavailable,
} from "./errors.ts";
export {
  CreateInvitation,
  createInvitation,
  type CreatedInvitation,
} from "./invitation/create-invitation.ts";
export { createSetUpInvitation } from "./invitation/create-set-up-invitation.ts";
export { isolationLevels, type IsolationLevel, type IsolationView } from "./isolation.ts";
export { authorizeToken, type TokenVerdict } from "./lease/authorize-token.ts";
export { claimInstances, type ClaimedInstance } from "./lease/claim-instances.ts";
export { closeAbandoned, closeInstance, type Closing } from "./lease/close-instance.ts";
export { leaseSeconds, type NodeIdentity } from "./lease/lease.ts";
export { markReady, markRestarting } from "./lease/mark-instance.ts";
export { instancePorts, leasePort } from "./lease/lease-port.ts";
export { KeyReleaseError, openInstanceKey } from "./lease/open-instance-key.ts";
export { type CallCounts, otherHosts, recordCalls } from "./lease/record-calls.ts";
export { type LogLineRecord, recordLogLines } from "./lease/record-log-lines.ts";
export { registerNode, renewNode, retireNode } from "./lease/register-node.ts";
export { releaseLeases } from "./lease/release-leases.ts";
export { type HeldLease, renewLeases } from "./lease/renew-leases.ts";
export { CreateInstance, createInstance, type CreatedInstance } from "./mcp/create-instance.ts";
export { FollowLog, followLog } from "./mcp/follow-log.ts";
export { getInstance, InstanceId } from "./mcp/get-instance.ts";
export { getReceipt } from "./mcp/get-receipt.ts";
export { type InstanceFeed, openInstanceFeed } from "./mcp/instance-feed.ts";
export {
  type InstanceEndReason,
  type InstanceState,
  type InstanceView,
  type OverseenInstanceView,
} from "./mcp/instance-view.ts";
export { listAllInstances, ListInstances, listInstances } from "./mcp/list-instances.ts";
export { listTypes, type ServerTypeView, type TypeList } from "./mcp/list-types.ts";
export type { LogLineView } from "./mcp/log-line.ts";
export type { HostUse, ReceiptView } from "./mcp/receipt-view.ts";
export { RenewInstance, renewInstance } from "./mcp/renew-instance.ts";
export { revokeInstance, terminateInstance } from "./mcp/revoke-instance.ts";
export type { Snippets } from "./mcp/snippets.ts";
export { watchInstance } from "./mcp/watch-instance.ts";
export { watchInstances } from "./mcp/watch-instances.ts";
export { NoInput } from "./no-input.ts";
export type { Page } from "./page.ts";
export { isPermission, isPermitted, type Permission, permissionsOf, permissionTable } from "./permission.ts";
export {
  actingFor,
  anonymous,
  type AnonymousPrincipal,
  type Principal,
  system,
  type SystemPrincipal,
  type UserPrincipal,
  type UserRole,
} from "./principal.ts";
export { createLineRedactor } from "./redact.ts";
export { ServerTypeDeclaration } from "./server-type/declaration.ts";
export { storeBuiltinTypes } from "./server-type/store-builtin-types.ts";
export type { AccessTokens } from "./token/access-token.ts";
export { digestToken, mintToken, type OpaqueToken, type TokenPrefix } from "./token/opaque-token.ts";
export { loadAccessTokens } from "./token/signing-keys.ts";
export {
  type DailyUsageView,
  type OwnUsageReport,
  reportOwnUsage,
  ReportOwnUsage,
} from "./usage/report-own-usage.ts";
export { reportUsage, ReportUsage, type UsageReport, type UsageView } from "./usage/report-usage.ts";
export { CreateAdministrator, createAdministrator } from "./user/create-administrator.ts";
export { hasUsers } from "./user/has-users.ts";
export { ListUsers, listUsers } from "./user/list-users.ts";
export type { UserView } from "./user/user-view.ts";
export { checkKeyring } from "./vault/check-keyring.ts";
export { EnvelopeError } from "./vault/envelope.ts";
export { type Keyring, KeyringError, parseKeyring } from "./vault/keyring.ts";
export { createVault, type Vault } from "./vault/vault.ts";
