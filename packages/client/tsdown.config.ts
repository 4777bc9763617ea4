import { defineConfig } from "tsdown";

// oxlint-disable-next-line import/no-default-export -- tsdown reads it
export default defineConfig({
  entry: "src/index.ts",
  platform: "neutral",
  target: "es2022",
  tsconfig: "tsconfig.build.json",
  // A build that would need more at its users' fails.
  deps: { onlyImport: ["@trpc/client", "superjson"] },
});
