/** What the worker tells the programs inside a sandbox by their environment. */
export interface SandboxEnvironment {
  /** The broker's Unix socket, by `MCP_EGRESS_SOCKET`; undefined for a server that calls nobody. */
  egressSocket: string | undefined;
  /** The certificate (PEM) of the instance's own authority, by `MCP_EGRESS_CA_FILE`. */
  caFile: string | undefined;
  /** `MCP_RUNTIME`: `node`, the default, for a script that Node runs, `other` for any other program. */
  runtime: string;
  /** `MCP_MEMORY_MIB`: what all processes of the sandbox may take together; undefined where it is the default of 512. */
  memoryMib: string | undefined;
  /** `PORT`: where a server listens that speaks HTTP on TCP only; undefined for a stdio server. */
  port: string | undefined;
  /** `NODE_OPTIONS`: what every Node process of this sandbox is started with; undefined where there is nothing of the kind. */
  nodeOptions: string | undefined;
  /** All else: what the server's type declares. */
  declared: Record<string, string>;
}

export function readSandboxEnvironment(): SandboxEnvironment {
  const {
    MCP_EGRESS_SOCKET: egressSocket,
    MCP_EGRESS_CA_FILE: caFile,
    MCP_RUNTIME: runtime = "node",
    MCP_MEMORY_MIB: memoryMib,
    PORT: port,
    NODE_OPTIONS: nodeOptions,
    ...rest
  } = process.env;
  const declared: Record<string, string> = {};
  for (const [name, value] of Object.entries(rest)) declared[name] = value ?? "";
  return { egressSocket, caFile, runtime, memoryMib, port, nodeOptions, declared };
}
