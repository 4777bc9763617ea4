/**
 * `pnpm check`: everything about the repository that can be judged without running it. All stages run, also after a
 * red one; `pnpm check lint types` runs only those.
 */
import { availableParallelism } from "node:os";
import { join } from "node:path";

import { repositoryRoot } from "./bootstrap/paths.mjs";
import { checkLockfile } from "./check/check-lockfile.ts";
import { checkMigrations } from "./check/check-migrations.ts";
import { runTool } from "./check/run-tool.ts";
import type { Verdict } from "./check/run-tool.ts";

const stageTimeoutMs = 5 * 60_000;

const bin = (name: string): string => join(repositoryRoot, "node_modules/.bin", name);

let clientBuild: Promise<Verdict> | undefined;

/** The dashboard is judged against the SDK as its users get it: as it is built. */
async function withBuiltClient(signal: AbortSignal, run: () => Promise<Verdict>): Promise<Verdict> {
  clientBuild ??= runTool(
    bin("turbo"),
    ["run", "build", "--filter=@minimcp/client", "--output-logs=errors-only"],
    { signal },
  );
  const built = await clientBuild;
  return built.ok ? await run() : built;
}

const stages: Record<string, (signal: AbortSignal) => Promise<Verdict>> = {
  format: (signal) => runTool(bin("oxfmt"), ["--check"], { signal }),
  lint: (signal) =>
    withBuiltClient(signal, () =>
      runTool(bin("oxlint"), ["--deny-warnings", "--report-unused-disable-directives"], { signal }),
    ),
  types: (signal) => runTool(bin("tsc"), ["--noEmit", "--project", repositoryRoot], { signal }),
  "web types": (signal) =>
    withBuiltClient(signal, () =>
      runTool(bin("tsc"), ["--noEmit", "--project", join(repositoryRoot, "apps/dashboard")], { signal }),
    ),
  boundaries: (signal) => runTool(bin("turbo"), ["boundaries"], { signal }),
  unused: (signal) => runTool(bin("knip"), ["--no-progress"], { signal }),
  lockfile: checkLockfile,
  migrations: checkMigrations,
  generated: (signal) =>
    runTool(process.execPath, [join(repositoryRoot, "scripts/generate-docs.ts"), "--check"], { signal }),
  build: (signal) => runTool(bin("turbo"), ["run", "build", "--output-logs=errors-only"], { signal }),
};

const interruption = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interruption.abort());

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(stages);
const unknown = names.filter((name) => !Object.hasOwn(stages, name));
if (unknown.length > 0) {
  process.stderr.write(
    `No such stage: ${unknown.join(", ")}. There are: ${Object.keys(stages).join(", ")}.\n`,
  );
  process.exit(2);
}

const red: string[] = [];
const waiting = [...names];
await Promise.all(
  Array.from({ length: availableParallelism() }, async () => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) await runStage(name);
  }),
);
if (interruption.signal.aborted) process.exit(130);
process.stdout.write(red.length === 0 ? "All green.\n" : `Red: ${red.join(", ")}.\n`);
process.exitCode = red.length === 0 ? 0 : 1;

async function runStage(name: string): Promise<void> {
  const startedAt = performance.now();
  const verdict = await judge(name);
  if (interruption.signal.aborted) return;
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  const line = `${verdict.ok ? "✓" : "✗"} ${name.padEnd(12)}${seconds.padStart(5)} s\n`;
  process.stdout.write(verdict.ok ? line : `${line}${verdict.output.trimEnd()}\n\n`);
  if (!verdict.ok) red.push(name);
}

async function judge(name: string): Promise<Verdict> {
  const signal = AbortSignal.any([interruption.signal, AbortSignal.timeout(stageTimeoutMs)]);
  try {
    return await (stages[name]?.(signal) ?? Promise.reject(new Error(`no stage ${name}`)));
  } catch (error) {
    return { ok: false, output: error instanceof Error ? error.message : String(error) };
  }
}
