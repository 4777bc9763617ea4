import type { Forwarder } from "./forwarder.ts";

export interface Egress {
  /** The broker's Unix socket. */
  socketPath: string;
  /** The certificate (PEM) of the instance's own authority, with which the broker answers as every host. */
  caFile: string;
}

/**
 * What a server that runs under Node has to have in its environment to reach its upstream through the broker.
 *
 * @param preload absolute path of the bundled `preload.ts`
 * @param nodeOptions what every Node process of the sandbox is started with besides
 */
export function nodeEgressEnvironment(
  egress: Egress,
  preload: string,
  nodeOptions: string | undefined,
): Record<string, string> {
  return {
    // Not an argument of Node: this way it reaches the Node processes that the server starts itself.
    NODE_OPTIONS: [nodeOptions, `--require ${JSON.stringify(preload)}`].filter(Boolean).join(" "),
    NODE_EXTRA_CA_CERTS: egress.caFile,
    MCP_EGRESS_SOCKET: egress.socketPath,
  };
}

/** The same for any other program: a proxy, and a trust store that holds nothing else, for nobody else answers. */
export function proxyEgressEnvironment(egress: Egress, forwarder: Forwarder): Record<string, string> {
  const environment: Record<string, string> = {
    NODE_USE_ENV_PROXY: "1",
    NODE_EXTRA_CA_CERTS: egress.caFile,
    SSL_CERT_FILE: egress.caFile,
    REQUESTS_CA_BUNDLE: egress.caFile,
    CURL_CA_BUNDLE: egress.caFile,
  };
  // Some programs read the one spelling only, some the other: curl takes no HTTP_PROXY, which a CGI server would let
  // its callers set.
  for (const name of ["http_proxy", "https_proxy", "all_proxy"]) {
    environment[name] = environment[name.toUpperCase()] = forwarder.url;
  }
  environment["no_proxy"] = environment["NO_PROXY"] = "localhost,127.0.0.1,::1";
  return environment;
}
