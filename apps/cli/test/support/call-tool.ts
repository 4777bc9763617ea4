/** A tool call as an MCP client sends it. */
export async function callTool(endpoint: string, token: string, message: string): Promise<Response> {
  return await fetch(endpoint, {
    method: "POST",
    headers: {
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      "mcp-protocol-version": "2025-11-25",
    },
    body: JSON.stringify({
      jsonrpc: "2.0",
      id: 1,
      method: "tools/call",
      params: { name: "echo", arguments: { message } },
    }),
    signal: AbortSignal.timeout(15_000),
  });
}
