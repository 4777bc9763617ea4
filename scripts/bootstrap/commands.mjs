import { join } from "node:path";
import { repositoryRoot } from "./paths.mjs";

const cli = join(repositoryRoot, "apps/cli/src/main.ts");
const vitest = [join(repositoryRoot, "node_modules/vitest/vitest.mjs"), "run"];

/**
 * What each root script needs and runs. `needs: "product"` leaves out the `test` package with its heavy clients;
 * `build` names the packages whose output the run reads.
 *
 * @type {Record<string, {
 *   needs: "product" | "everything",
 *   build: string[],
 *   run: string[],
 *   environment?: Record<string, string>,
 *   directory?: string,
 *   inUserDirectory?: boolean,
 *   debianPackages?: boolean,
 * }>}
 */
export const commands = {
  start: { needs: "product", build: ["@minimcp/connectors"], run: [cli, "start"] },
  dev: {
    needs: "everything",
    build: ["@minimcp/connectors"],
    run: [cli, "start"],
    environment: { LOG_LEVEL: "debug" },
  },
  // A relative path in an argument means the directory where the user typed it.
  minimcp: { needs: "product", build: ["@minimcp/connectors"], run: [cli], inUserDirectory: true },
  test: { needs: "everything", build: ["*"], run: vitest, debianPackages: true },
  "test:all": {
    needs: "everything",
    build: ["*"],
    run: vitest,
    environment: { MINIMCP_TEST: "all" },
    debianPackages: true,
  },
  check: { needs: "everything", build: [], run: [join(repositoryRoot, "scripts/check.ts")] },
  "db:generate": {
    needs: "everything",
    build: [],
    run: [join(repositoryRoot, "packages/db/node_modules/drizzle-kit/bin.cjs"), "generate"],
    directory: join(repositoryRoot, "packages/db"),
  },
};
