#!/usr/bin/env node
import { enableCompileCache } from "node:module";

import { compileCacheDirectory } from "./compile-cache.ts";

enableCompileCache(compileCacheDirectory);
// Only what is loaded from here on is cached.
const { runCommandLine } = await import("./run-command-line.ts");
process.exitCode = await runCommandLine(process.argv);
