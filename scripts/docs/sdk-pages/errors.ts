export {
  type ClientReason,
  type InputIssue,
  isReason,
  MiniMcpError,
  type MiniMcpErrorDetails,
  type MiniMcpErrorReason,
} from "../../../packages/client/src/index.ts";
