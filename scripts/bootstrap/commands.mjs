import { join, resolve } from "node:path";
import process from "node:process";

import { repositoryRoot } from "./paths.mjs";

const cli = join(repositoryRoot, "apps/cli/src/main.ts");

/** Where the user typed the command; npm and pnpm run scripts in the root, and tell it here. */
export const userDirectory = process.env.INIT_CWD ?? process.cwd();

/** The home belongs to the clone, wherever in it a command is typed; a relative path of the user's is the user's. */
const home = process.env.MINIMCP_HOME_FILE
  ? undefined
  : { MINIMCP_HOME: resolve(userDirectory, process.env.MINIMCP_HOME || join(repositoryRoot, ".minimcp")) };

const vitest = [join(repositoryRoot, "node_modules/vitest/vitest.mjs"), "run"];

/**
 * What each root script needs and runs. `needs: "product"` leaves out the packages that only tests and the reference
 * of the SDK are made with, `build` names the packages whose output the run reads (the dashboard's only where it is
 * started), `directory` is the root unless given.
 *
 * @type {Record<string, {
 *   needs: "product" | "everything",
 *   build: string[],
 *   run: string[],
 *   environment?: Record<string, string> | undefined,
 *   directory?: string,
 *   debianPackages?: boolean,
 * }>}
 */
export const commands = {
  start: {
    needs: "product",
    build: ["@minimcp/connectors", "@minimcp/dashboard"],
    run: [cli, "start"],
    environment: home,
  },
  dev: {
    needs: "everything",
    build: ["@minimcp/connectors", "@minimcp/dashboard"],
    run: [cli, "start"],
    environment: { ...home, LOG_LEVEL: process.env.LOG_LEVEL ?? "debug" },
  },
  // A relative path in an argument means the directory where the user typed it.
  minimcp: {
    needs: "product",
    build: ["@minimcp/connectors", "@minimcp/dashboard"],
    run: [cli],
    environment: home,
    directory: userDirectory,
  },
  test: { needs: "everything", build: ["*"], run: vitest, debianPackages: true },
  "test:all": {
    needs: "everything",
    build: ["*"],
    run: vitest,
    // `slow` runs only what `npm test` leaves out.
    environment: { MINIMCP_TEST: process.env.MINIMCP_TEST ?? "all" },
    debianPackages: true,
  },
  bench: { needs: "everything", build: [], run: [join(repositoryRoot, "test/bench/run.ts")] },
  chaos: {
    needs: "everything",
    build: ["@minimcp/connectors"],
    run: [join(repositoryRoot, "test/chaos/random/run.ts")],
    debianPackages: true,
  },
  check: { needs: "everything", build: [], run: [join(repositoryRoot, "scripts/check.ts")] },
  "db:generate": {
    needs: "everything",
    build: [],
    run: [join(repositoryRoot, "packages/db/node_modules/drizzle-kit/bin.cjs"), "generate"],
    directory: join(repositoryRoot, "packages/db"),
  },
  "docs:generate": {
    needs: "everything",
    build: [],
    run: [join(repositoryRoot, "scripts/generate-docs.ts")],
  },
};
