import { ServerTypeDeclaration } from "./declaration.ts";

/** The reference server of the protocol's authors: a playground that needs no key and reaches nothing. */
export const everything = ServerTypeDeclaration.parse({
  id: "everything",
  version: "2026.8.31",
  title: "Everything (playground)",
  description:
    "The MCP reference server: tools, resources and prompts of every kind, to try a client with. It needs no API key and has no network.",
  bundle: "everything",
  tools: [
    { name: "echo", description: "Echoes back the input string" },
    { name: "get-annotated-message", description: "Shows how annotations describe content" },
    { name: "get-env", description: "Returns all environment variables of the sandbox" },
    { name: "get-resource-links", description: "Returns up to ten links to resources" },
    { name: "get-resource-reference", description: "Returns a reference to a resource" },
    { name: "get-structured-content", description: "Returns structured content along with its schema" },
    { name: "get-sum", description: "Returns the sum of two numbers" },
    { name: "get-tiny-image", description: "Returns a tiny image" },
    { name: "gzip-file-as-resource", description: "Compresses a file and returns it as a resource" },
    { name: "toggle-simulated-logging", description: "Turns simulated log messages on or off" },
    { name: "toggle-subscriber-updates", description: "Turns simulated resource updates on or off" },
    { name: "trigger-long-running-operation", description: "Runs for a while and reports its progress" },
    { name: "simulate-research-query", description: "Simulates research that reports its progress" },
  ],
  config: {},
});
