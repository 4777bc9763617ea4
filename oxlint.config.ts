import { defineConfig } from "oxlint";
import type { OxlintOverride } from "oxlint";

/** Which of our packages a room may import. turbo.json holds the same house for whole chains of dependencies. */
const edges = {
  api: ["router", "core", "db"],
  worker: ["core", "pool", "gateway", "connectors", "db"],
  cli: ["client", "core", "db"],
  dashboard: ["client"],
  client: ["shared"],
  shared: ["router", "core"],
  router: ["core"],
  core: ["db"],
  db: [],
  pool: [],
  gateway: [],
  connectors: [],
} satisfies Record<string, string[]>;

type Room = keyof typeof edges;

interface ImportPattern {
  /** In the syntax of .gitignore. */
  group: string[];
  message: string;
  allowTypeImports?: boolean;
}

const house = 'See docs/architecture.md, "The rooms".';
const sql = ["drizzle-orm", "pg"];
const trpc = ["@trpc/*"];

/** Packages from outside that would break a wall of the house. */
const walls: Record<Room, ImportPattern[]> = {
  api: [{ group: sql, message: `An app starts rooms and serves them; SQL belongs in core and db. ${house}` }],
  worker: [{ group: [...sql, ...trpc], message: `The data plane knows no tRPC and writes no SQL. ${house}` }],
  cli: [
    {
      group: [...sql, "@trpc/server"],
      message: `The command line speaks to the API through client, and writes no SQL. ${house}`,
    },
  ],
  dashboard: [
    {
      group: [...sql, ...trpc],
      message: `The dashboard knows only client: no database, and procedures as client types them. ${house}`,
    },
  ],
  client: [
    {
      group: [
        "*",
        "!*.ts",
        "!@trpc",
        "@trpc/*",
        "!@trpc/client",
        "!@trpc/client/**",
        "!superjson",
        "!@trpc/tanstack-react-query",
      ],
      allowTypeImports: true,
      message: `client imports only @trpc/client and superjson at run time, its React entry tRPC's React package too, and nothing but types of the server: it runs in browsers and at the edge. ${house}`,
    },
  ],
  shared: [
    {
      group: ["*", "!*.ts"],
      allowTypeImports: true,
      message: `shared is types only; nothing of it exists at run time. ${house}`,
    },
  ],
  router: [
    { group: sql, message: `router knows no table: a procedure is one call of a core verb. ${house}` },
  ],
  core: [
    {
      group: ["pg", ...trpc],
      message: `core is the domain: procedures belong in router, connections in db. ${house}`,
    },
  ],
  db: [{ group: trpc, message: `db knows no tRPC. ${house}` }],
  pool: [dataPlane("pool")],
  gateway: [dataPlane("gateway")],
  connectors: [dataPlane("connectors")],
};

function dataPlane(room: Room): ImportPattern {
  return {
    group: [...sql, ...trpc],
    message: `${room} runs without a control plane: no database, no tRPC. ${house}`,
  };
}

const environmentMessage = `Only apps/*/src/env.ts reads the environment; everything else takes options. ${house}`;

const environmentImport = { name: "node:process", importNames: ["env"], message: environmentMessage };

const environmentProperties = [
  { object: "process", property: "env", message: environmentMessage },
  { object: "globalThis", property: "process", message: environmentMessage },
];

const rawSql = {
  object: "sql",
  property: "raw",
  message:
    "sql.raw() puts its text past the parameters, which is how SQL injection happens. Write sql`…` with ${values}.",
};

function importsOf(room: Room): OxlintOverride {
  const allowed: readonly string[] = edges[room];
  const others = [...Object.keys(edges), "test"].filter((other) => !allowed.includes(other));
  const message =
    allowed.length === 0
      ? `${room} imports none of our packages. ${house}`
      : `Of our packages ${room} imports only ${allowed.join(", ")}. ${house}`;
  return {
    files: [`{apps,packages}/${room}/src/**`],
    rules: {
      "no-restricted-imports": [
        "error",
        {
          paths: [environmentImport],
          patterns: [{ group: others.map((other) => `@minimcp/${other}`), message }, ...walls[room]],
        },
      ],
    },
  };
}

export default defineConfig({
  plugins: ["typescript", "unicorn", "import", "node", "promise", "vitest"],
  categories: { correctness: "error", suspicious: "error", perf: "error" },
  options: { typeAware: true },
  ignorePatterns: ["**/dist/**", "**/node_modules/**"],
  rules: {
    eqeqeq: "error",
    "no-console": "error",
    "no-restricted-imports": ["error", { paths: [environmentImport] }],
    "no-restricted-properties": ["error", ...environmentProperties, rawSql],
    "import/no-cycle": "error",
    "import/no-default-export": "error",
    "typescript/consistent-type-imports": "error",
    "typescript/no-explicit-any": "error",
    "typescript/no-floating-promises": "error",
    "typescript/no-misused-promises": "error",
    "typescript/no-non-null-assertion": "error",
    // A union of somebody else's (tRPC's error codes) may end in a default.
    "typescript/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
    "vitest/expect-expect": ["error", { assertFunctionNames: ["expect*", "assert*"] }],
    // Vitest takes a message as the second argument.
    "vitest/valid-expect": ["error", { maxArgs: 2 }],

    // One after the other is what a loop over awaits is for.
    "no-await-in-loop": "off",
    // The name of a parameter that is not used, and of tRPC's inside.
    "no-underscore-dangle": "off",
    // superjson documents its default export.
    "import/no-named-as-default-member": "off",
    // no-floating-promises is the stronger rule.
    "promise/always-return": "off",
    // tsc's noImplicitReturns does it, and understands an exhaustive switch.
    "typescript/consistent-return": "off",
    // `as` at the seams of the platform (address(), errno, parsed JSON): a reviewer judges each.
    "typescript/no-unsafe-type-assertion": "off",
    // What a host can give its sandbox differs, and expectations with it.
    "vitest/no-conditional-expect": "off",
  },
  overrides: [
    { files: ["**/*.config.ts"], rules: { "import/no-default-export": "off" } },
    {
      // Next finds pages by their default export.
      files: ["apps/dashboard/src/app/**/*.tsx"],
      rules: { "import/no-default-export": "off" },
    },
    {
      // Imported for what they do: the one refuses to be bundled for a browser, the others are style sheets.
      files: ["apps/dashboard/src/**"],
      rules: { "import/no-unassigned-import": ["error", { allow: ["server-only", "**/*.css"] }] },
    },
    {
      files: [
        "apps/*/src/env.ts",
        // The programs of a sandbox are told by theirs, as any process is.
        "packages/connectors/src/env.ts",
        "scripts/**",
        "test/**",
        "{apps,packages}/*/test/**",
        "*.config.ts",
      ],
      rules: { "no-restricted-imports": "off", "no-restricted-properties": ["error", rawSql] },
    },
    {
      // They belong to no tsconfig.json, so what their types are taken for depends on which other files are looked at.
      files: ["**/fixtures/**/*.js"],
      rules: { "typescript/no-misused-promises": "off" },
    },
    ...(Object.keys(edges) as Room[]).map(importsOf),
  ],
});
