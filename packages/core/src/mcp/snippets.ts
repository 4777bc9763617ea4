/** Ready-made configuration for MCP clients. They contain the token, so they are shown once, like it. */
export interface Snippets {
  /** A command line for Claude Code. */
  claudeCode: string;
  /** `claude_desktop_config.json`; the desktop app reaches HTTP servers with a header through mcp-remote. */
  claudeDesktop: string;
  /** `.cursor/mcp.json`. */
  cursor: string;
  /** `.vscode/mcp.json`. */
  vscode: string;
}

/**
 * @param name what the client will call the server
 */
export function writeSnippets(name: string, endpoint: string, token: string): Snippets {
  const authorization = `Bearer ${token}`;
  return {
    claudeCode: `claude mcp add --transport http ${name} ${endpoint} --header "Authorization: ${authorization}"`,
    claudeDesktop: json({
      mcpServers: {
        [name]: {
          command: "npx",
          // A space inside an argument breaks on some systems, so the header's value comes from the environment.
          args: [
            "-y",
            "mcp-remote",
            endpoint,
            "--transport",
            "http-only",
            "--header",
            "Authorization:${AUTH_HEADER}",
          ],
          env: { AUTH_HEADER: authorization },
        },
      },
    }),
    cursor: json({ mcpServers: { [name]: { url: endpoint, headers: { Authorization: authorization } } } }),
    vscode: json({
      servers: { [name]: { type: "http", url: endpoint, headers: { Authorization: authorization } } },
    }),
  };
}

function json(value: unknown): string {
  return JSON.stringify(value, null, 2);
}
