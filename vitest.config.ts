import { defineConfig } from "vitest/config";

// `npm test` runs everything that is quick, `pnpm test:all` also what lies in a folder named `slow`.
const slow = "**/slow/**/*.test.ts";
const everywhere = ["packages/*/test/**/*.test.ts", "apps/*/test/**/*.test.ts", "test/**/*.test.ts"];
const choice = process.env["MINIMCP_TEST"];
// It installs the product into an empty home over the network, which may take minutes: `pnpm test:readme`.
const readme = "test/e2e/readme.test.ts";

export default defineConfig({
  test: {
    include:
      choice === "readme"
        ? [readme]
        : choice === "slow"
          ? ["{packages/*/,apps/*/,}test/**/slow/**/*.test.ts"]
          : everywhere,
    exclude: [
      "**/node_modules/**",
      "**/dist/**",
      ...(choice === undefined ? [slow] : []),
      ...(choice === "readme" ? [] : [readme]),
    ],
    passWithNoTests: choice === "slow",
    // One PostgreSQL for the whole run; each file works on a copy of a migrated database.
    globalSetup: ["test/support/global-setup.ts"],
    setupFiles: ["test/support/assert-no-leaks.ts"],
    // Two cores: more files at once only make the children's start-up timeouts flaky.
    maxWorkers: 2,
    pool: "forks",
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 15_000,
  },
});
