import { delimiter, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

export const repositoryRoot = fileURLToPath(new URL("../..", import.meta.url));

/** The Node of the lockfile, whatever the machine's own is. */
export const nodeBinary = join(repositoryRoot, "node_modules/node/bin/node");

/** What bootstrap itself keeps. Inside node_modules, so that deleting node_modules starts afresh. */
export const stateDirectory = join(repositoryRoot, "node_modules/.bootstrap");

/** The caller's environment, with our tools and our Node first on PATH. */
export function runEnvironment() {
  return {
    ...process.env,
    PATH: [join(repositoryRoot, "node_modules/.bin"), process.env.PATH].filter(Boolean).join(delimiter),
    TURBO_TELEMETRY_DISABLED: "1",
    NEXT_TELEMETRY_DISABLED: "1",
    DO_NOT_TRACK: "1",
  };
}
