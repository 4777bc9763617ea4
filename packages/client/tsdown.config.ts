import { readFileSync } from "node:fs";

import { defineConfig } from "tsdown";

const trpcLicense = readFileSync("node_modules/@trpc/client/LICENSE", "utf8").trim();

export default defineConfig({
  entry: { index: "src/index.ts", react: "src/react.ts" },
  platform: "neutral",
  target: "es2022",
  tsconfig: "../tsconfig.declarations.json",
  dts: true,
  // The names of the packed files stay the same from one version to the next.
  hash: false,
  banner: ({ fileName }) =>
    fileName === "index.js" ? "" : `/*!\nHolds parts of tRPC (https://trpc.io):\n\n${trpcLicense}\n*/`,
  deps: {
    // A build that would need more at its users' fails, in code and in declarations. Only react.js needs the last two.
    onlyImport: ["@trpc/client", "@trpc/server", "superjson", "@tanstack/react-query", "react"],
    // tRPC's React package is bundled because it insists on one exact version of tRPC beside it, and on React for all.
    onlyBundle: ["@trpc/client", "@trpc/server", "@trpc/tanstack-react-query"],
    dts: {
      // The types of our own packages, which are not published; and of tRPC, whose declarations name Node's and those
      // of ws, so that whoever checks the declarations of libraries would have to install both. Of db only what its
      // schema lists: the router's declarations name its Database, in what is not published, without depending on it.
      alwaysBundle: [/^@minimcp\/(?!db$)/, /^@trpc\//],
      neverBundle: [/^@minimcp\/db$/, /^(?!@minimcp\/|@trpc\/)[@a-z]/],
    },
  },
  // Without this, every package that a server's file imports would stay in the declarations as a bare import.
  treeshake: { moduleSideEffects: false },
});
