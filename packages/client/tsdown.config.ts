import { defineConfig } from "tsdown";

// oxlint-disable-next-line import/no-default-export -- tsdown reads it
export default defineConfig({
  entry: "src/index.ts",
  platform: "neutral",
  target: "es2022",
  tsconfig: "tsconfig.build.json",
  dts: true,
  deps: {
    // A build that would need more at its users' fails, in code and in declarations. @trpc/server is for types.
    onlyImport: ["@trpc/client", "@trpc/server", "superjson"],
    // The types of our own packages, which are not published, and of nobody else's.
    dts: { alwaysBundle: [/^@minimcp\//], neverBundle: [/^(?!@minimcp\/)[@a-z]/] },
  },
  // Without this, every package that a server's file imports would stay in the declarations as a bare import.
  treeshake: { moduleSideEffects: false },
});
