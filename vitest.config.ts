import { defineConfig } from "vitest/config";

// `npm test` runs everything that is quick; the suites under test/slow run only with `pnpm test:all`.
const all = process.env["MINIMCP_TEST"] === "all";

export default defineConfig({
  test: {
    include: ["packages/*/test/**/*.test.ts", "apps/*/test/**/*.test.ts", "test/**/*.test.ts"],
    exclude: ["**/node_modules/**", "**/dist/**", ...(all ? [] : ["test/slow/**"])],
    // One PostgreSQL for the whole run; each file works on a copy of a migrated database.
    globalSetup: ["test/support/global-setup.ts"],
    // Two cores: more files at once only make the children's start-up timeouts flaky.
    maxWorkers: 2,
    pool: "forks",
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 15_000,
  },
});
