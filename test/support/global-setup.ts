import type { TestProject } from "vitest/node";

import { startTestCluster } from "./test-cluster.ts";

let running: AsyncDisposable | undefined;

export async function setup(project: TestProject): Promise<void> {
  const started = await startTestCluster();
  running = started;
  project.provide("testCluster", started.cluster);
}

export async function teardown(): Promise<void> {
  await running?.[Symbol.asyncDispose]();
}
