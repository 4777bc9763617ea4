export type JsonObject = Record<string, unknown>;

/** An error that goes to the client as it is: a JSON-RPC code, a message, and perhaps data. */
export class RpcError extends Error {
  readonly code: number;
  readonly data: unknown;

  constructor(code: number, message: string, data?: unknown) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

/** The stdio server is gone, is being ended, or could not be started. */
export class ChildGoneError extends RpcError {}

/** The stdio server wrote a line over the limit, so its answer could not be read. */
export class LineTooLongError extends RpcError {}

/** The stdio server did not answer in time. */
export class RequestTimeoutError extends RpcError {}

export const methodNotFound = -32601;
export const internalError = -32603;
// -32000 to -32019 are left to implementations; the official SDKs use these two in the same sense.
export const connectionClosed = -32000;
export const requestTimeout = -32001;

/** One line as a message; undefined for anything else. */
export function parseObject(line: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether this is the error of an answer (JSON-RPC 2.0, section 5.1). */
export function isRpcError(error: unknown): error is { code: number; message: string; data?: unknown } {
  return isObject(error) && Number.isSafeInteger(error["code"]) && typeof error["message"] === "string";
}
