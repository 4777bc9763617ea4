import { isUtf8 } from "node:buffer";

import { Refused, rpcError } from "./answer.ts";

/** What the gateway knows of a JSON-RPC message. The message itself stays the bytes that came. */
export interface Message {
  /** Null for an answer of the client, which names no method. */
  method: string | null;
  /** The tool of a `tools/call`. */
  tool: string | null;
}

/** Names are kept in memory for counting; a longer one is no name of anything. */
const nameLimitCharacters = 256;

/**
 * Parses the body of a POST once. Only what is counted and judged is looked at: whether the message is valid MCP is
 * the child's to say. Nothing of it is merged into another object, so that `__proto__` is a key like any other.
 *
 * @throws Refused -32700 for what is no JSON, -32600 for a batch (gone from MCP since 2025-06-18) or no object
 */
export function readMessage(body: Buffer): Message {
  const message = parse(body);
  if (Array.isArray(message)) {
    throw new Refused(
      rpcError(-32600, "Batches are not supported. Send each JSON-RPC message in a request of its own."),
    );
  }
  if (typeof message !== "object" || message === null) {
    throw new Refused(rpcError(-32600, "The body must be one JSON-RPC message, an object."));
  }
  const method = nameOf(ownValue(message, "method"));
  const params = method === "tools/call" ? ownValue(message, "params") : null;
  return { method, tool: nameOf(ownValue(params, "name")) };
}

function parse(body: Buffer): unknown {
  // RFC 8259 section 8.1: anything but UTF-8 could be read in one way here and in another by the child.
  if (!isUtf8(body)) throw new Refused(rpcError(-32700, "The body is not UTF-8."));
  try {
    return JSON.parse(body.toString()) as unknown;
  } catch {
    // The parser's own message quotes the body.
    throw new Refused(rpcError(-32700, "The body is not valid JSON."));
  }
}

function ownValue(from: unknown, key: string): unknown {
  return typeof from === "object" && from !== null && Object.hasOwn(from, key)
    ? Reflect.get(from, key)
    : null;
}

function nameOf(value: unknown): string | null {
  return typeof value === "string" && value.length <= nameLimitCharacters ? value : null;
}
