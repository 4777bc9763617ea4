/** One JSON-RPC answer as it came over HTTP. */
export interface Answer {
  status: number;
  sessionId: string | null;
  result?: Record<string, unknown>;
  error?: { code: number; message: string; data?: unknown };
  /** Notifications that came before the answer. */
  notifications: { method: string; params: Record<string, unknown> }[];
}

export interface RawRequest {
  method: string;
  params?: Record<string, unknown>;
}

const ENVELOPE = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientInfo": { name: "raw", version: "1.0.0" },
  "io.modelcontextprotocol/clientCapabilities": {},
};

/** Sends one request as a 2025-11-25 client does, always with id 1. */
export async function sendLegacy(
  url: URL,
  { method, params }: RawRequest,
  headers: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<Answer> {
  const body = { jsonrpc: "2.0", id: 1, method, params };
  return post(url, { "mcp-protocol-version": "2025-11-25", ...headers }, body, signal);
}

/** Sends one request as a 2026-07-28 client does, always with id 1. `headers` may spoil it. */
export async function sendModern(
  url: URL,
  { method, params = {} }: RawRequest,
  headers: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<Answer> {
  const { _meta: meta, ...rest } = params;
  const name = params["name"] ?? params["uri"];
  const standardHeaders = {
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": method,
    ...(typeof name === "string" && { "mcp-name": name }),
  };
  const envelope = typeof meta === "object" ? { ...ENVELOPE, ...meta } : ENVELOPE;
  const body = { jsonrpc: "2.0", id: 1, method, params: { ...rest, _meta: envelope } };
  return post(url, { ...standardHeaders, ...headers }, body, signal);
}

/** Posts a body, as JSON unless it is a string, and reads the answer whether it is a stream or not. */
export async function post(
  url: URL,
  headers: Record<string, string>,
  body: unknown,
  signal?: AbortSignal,
): Promise<Answer> {
  const response = await fetch(url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      ...headers,
    },
    body: typeof body === "string" ? body : JSON.stringify(body),
    ...(signal && { signal }),
  });
  const text = await response.text();
  const isStream = response.headers.get("content-type") === "text/event-stream";
  const lines = isStream ? text.split("\n").filter((line) => line.startsWith("data: ")) : [`data: ${text}`];
  const messages = lines.map((line) => JSON.parse(line.slice("data: ".length)));
  const [answer, ...notifications] = messages.toReversed();
  return {
    ...answer,
    status: response.status,
    sessionId: response.headers.get("mcp-session-id"),
    notifications: notifications.toReversed(),
  };
}
