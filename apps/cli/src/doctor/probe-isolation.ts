import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

import { productSettings, type ServerConfig } from "../env.ts";
import { Failure } from "../failure.ts";
import { buildChildEnvironment } from "../supervisor/child-environment.ts";
import type { Home } from "../supervisor/home.ts";
import type { Ready } from "../supervisor/supervised-process.ts";

const probeTimeoutMs = 60_000;
const entry = fileURLToPath(new URL("../../../worker/src/probe.ts", import.meta.url));

/**
 * Lets the worker's code find out what this host gives, in a process of its own that ends with the answer.
 * @throws Failure with what it said
 */
export async function probeIsolation(
  config: ServerConfig,
  home: Home,
): Promise<NonNullable<Ready["isolation"]>> {
  const { environment } = await buildChildEnvironment(
    {
      fields: productSettings,
      given: config.environment,
      fixed: {},
      secrets: {},
    },
    home.handover,
  );
  const child = spawn(process.execPath, [entry], {
    env: environment,
    stdio: ["ignore", "pipe", "pipe"],
    signal: AbortSignal.timeout(probeTimeoutMs),
    killSignal: "SIGKILL",
  });
  const [printed, complaint] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close"),
  ]);
  if (child.exitCode === 0) return JSON.parse(printed);
  throw new Failure(complaint.trim().split("\n").at(0) ?? "The probe ended without a word.");
}
