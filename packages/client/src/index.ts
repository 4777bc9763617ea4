import type { AppRouter } from "@minimcp/shared";
import type { inferRouterInputs, inferRouterOutputs } from "@trpc/server";

export { connection, type Connection } from "./connection.ts";
export {
  type ClientOptions,
  createMiniMcpClient,
  type InstanceMethods,
  type LogOptions,
  type MiniMcpClient,
  type StoreOptions,
  type TokenOptions,
} from "./create-client.ts";
export {
  type ClientReason,
  isReason,
  MiniMcpError,
  type MiniMcpErrorDetails,
  type MiniMcpErrorReason,
} from "./errors.ts";
export type { ConnectionState, StreamOptions } from "./open-stream.ts";
export type { Fetch } from "./read-answer.ts";
export { memoryStore, type StoredTokens, type TokenStore } from "./token-store.ts";
export type { WaitUntilReadyOptions } from "./wait-until-ready.ts";
export type {
  ApiKeyProvider,
  ApiKeyView,
  AppRouter,
  CreatedInstance,
  CreatedInvitation,
  DailyUsageView,
  ErrorReason,
  HostUse,
  InputIssue,
  InstanceEndReason,
  InstanceState,
  InstanceView,
  IsolationLevel,
  IsolationView,
  LogLineView,
  Me,
  OverseenInstanceView,
  OwnUsageReport,
  Page,
  Permission,
  ReceiptView,
  Refreshed,
  ServerTypeView,
  SessionBearer,
  SessionView,
  SignedIn,
  SignedUp,
  Snippets,
  TokenPair,
  TypeList,
  UsageReport,
  UsageView,
  UserRole,
  UserView,
} from "@minimcp/shared";

/** What each procedure takes: `RouterInputs["mcp"]["create"]`. */
export type RouterInputs = inferRouterInputs<AppRouter>;
/** What each procedure answers: `RouterOutputs["mcp"]["create"]`. */
export type RouterOutputs = inferRouterOutputs<AppRouter>;
