#!/usr/bin/env node
import { enableCompileCache } from "node:module";
import { fileURLToPath } from "node:url";

// Beside the code and not in the shared temporary directory, where another user could put other code in its place.
enableCompileCache(fileURLToPath(new URL("../../../node_modules/.cache/minimcp", import.meta.url)));
const { runCommandLine } = await import("./run-command-line.ts");
process.exitCode = await runCommandLine(process.argv);
