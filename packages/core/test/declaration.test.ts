import { describe, expect, test } from "vitest";

import { ServerTypeDeclaration } from "../src/index.ts";

// The fault: a declaration that says less, or something else, than whoever wrote it means. It decides what a server
// reaches and who sees a key, so whatever is not exact is refused where it is read.

const github = {
  id: "github",
  version: "1",
  title: "GitHub",
  description: "Repositories and issues.",
  bundle: "github",
  egress: [{ host: "api.github.com", port: 443, methods: ["GET", "POST"], pathPrefixes: ["/"] }],
  credential: {
    provider: "github",
    requirement: "A fine-grained personal access token.",
    inject: { scheme: "bearer", hosts: ["api.github.com"] },
    placeholder: {
      form: { prefix: "ghp_", length: 40 },
      env: ["GITHUB_PERSONAL_ACCESS_TOKEN"],
      files: [{ env: "GITHUB_KEY_FILE", path: "key.json", content: '{"key":"{{placeholder}}"}' }],
    },
    tokenEndpoint: { host: "oauth2.googleapis.com", path: "/token" },
  },
  env: { DO_NOT_TRACK: "1" },
  limits: { egressOutMiB: 100 },
  tools: [],
  config: {},
};

function issuesOf(declaration: object): string[] {
  const { error } = ServerTypeDeclaration.safeParse(declaration);
  return (error?.issues ?? []).map(({ path, message }) => `${path.join(".")}: ${message}`);
}

test("a declaration of every part is taken as it is, and one of none reaches nothing and needs no key", () => {
  expect(ServerTypeDeclaration.parse(github)).toMatchObject(github);
  const { egress: _, credential: __, env: ___, limits: ____, ...bare } = github;
  expect(ServerTypeDeclaration.parse(bare)).toMatchObject({
    egress: [],
    credential: null,
    env: {},
    limits: {},
    runtime: "node",
    listens: "socket",
  });
});

describe("a rule of egress", () => {
  test.each([
    ["a wildcard", { host: "*.github.com" }],
    ["an address", { host: "10.0.0.1" }],
    ["a single label", { host: "localhost" }],
    ["capitals", { host: "API.github.com" }],
    ["a port in the name", { host: "api.github.com:443" }],
    ["no port", { port: 0 }],
    ["no method", { methods: [] }],
    ["a method that opens a tunnel", { methods: ["CONNECT"] }],
    ["a path that begins nowhere", { pathPrefixes: ["repos"] }],
    ["a path that is encoded", { pathPrefixes: ["/%2e"] }],
    ["a path that leads up", { pathPrefixes: ["/a/../b"] }],
    ["a path with an empty segment", { pathPrefixes: ["//a"] }],
    ["a field that nobody knows", { redirect: true }],
  ])("with %s is refused", (_what, change) => {
    expect(issuesOf({ ...github, egress: [{ ...github.egress[0], ...change }] })).not.toEqual([]);
  });
});

describe("a credential", () => {
  const { credential } = github;
  const withFiles = (...files: { env: string; path: string }[]) => ({
    placeholder: {
      ...credential.placeholder,
      files: files.map((file) => ({ ...file, content: "{{placeholder}}" })),
    },
  });

  test.each([
    ["for a host that no rule admits", { inject: { scheme: "bearer", hosts: ["evil.example"] } }],
    ["for no host", { inject: { scheme: "bearer", hosts: [] } }],
    ["in a header without a name", { inject: { scheme: "header", hosts: ["api.github.com"] } }],
    ["of a provider that nobody knows", { provider: "gitlab" }],
    ["that can be guessed", { placeholder: { form: { prefix: "ghp_", length: 23 } } }],
    [
      "in a file outside its directory",
      {
        placeholder: {
          ...credential.placeholder,
          files: [{ env: "A", path: "../x", content: "{{placeholder}}" }],
        },
      },
    ],
    ["in the place of the certificate", withFiles({ env: "A", path: "egress-ca.pem" })],
    ["in a file whose name is too long for the node", withFiles({ env: "A", path: "x".repeat(65) })],
    ["in one file twice", withFiles({ env: "A", path: "x" }, { env: "B", path: "x" })],
    [
      "in a file that does not hold it",
      { placeholder: { ...credential.placeholder, files: [{ env: "A", path: "x", content: "{}" }] } },
    ],
  ])("%s is refused", (_what, change) => {
    expect(issuesOf({ ...github, credential: { ...credential, ...change } })).not.toEqual([]);
  });
});

describe("limits", () => {
  test.each([{ memoryMiB: 1_024 }, { cpuCores: 0.25 }, { memoryMiB: 192, cpuCores: 8 }])(
    "of %o are accepted",
    (limits) => {
      expect(issuesOf({ ...github, limits })).toEqual([]);
    },
  );

  test.each([
    { memoryMiB: 64 },
    { memoryMiB: 8_193 },
    { memoryMiB: 512.5 },
    { cpuCores: 0 },
    { cpuCores: 9 },
  ])("of %o are refused", (limits) => {
    expect(issuesOf({ ...github, limits })).not.toEqual([]);
  });
});

describe("an environment", () => {
  test.each([
    "NODE_OPTIONS",
    "LD_PRELOAD",
    "PATH",
    "PORT",
    "MCP_ID",
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "lower",
  ])("that sets %s is refused", (name) => {
    expect(issuesOf({ ...github, env: { [name]: "1" } })).not.toEqual([]);
  });

  test("that sets what the placeholder sets is refused", () => {
    expect(issuesOf({ ...github, env: { GITHUB_PERSONAL_ACCESS_TOKEN: "1" } })).toEqual([
      "env: sets a variable twice",
    ]);
  });
});
