import { randomBytes } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { type Environment, isSecret, type SettingFields } from "@minimcp/core";

import { compileCacheDirectory } from "../compile-cache.ts";

/** Where programs are looked up; nothing of the caller's own search path gets through. */
const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** A secret, or where it already lies. */
export type SecretSource = { file: string } | { value: string };

/** What a process is started with, built and not inherited. */
export interface ChildSettings {
  /** The settings it may have; of those that are no secrets, each is handed on as it was given. */
  fields: SettingFields;
  given: Environment;
  /** Values in place of the given ones. */
  fixed: Readonly<Record<string, string>>;
  secrets: Readonly<Record<string, SecretSource>>;
}

/**
 * Builds the environment of a process. Its secrets travel as files: a process's environment stays readable in `/proc`
 * for as long as it lives.
 * @param handover a private directory for secrets that have no file of their own
 * @returns `release` removes what was written there; call it once the process has read it
 */
export async function buildChildEnvironment(
  { fields, given, fixed, secrets }: ChildSettings,
  handover: string,
): Promise<{ environment: Record<string, string>; release: () => Promise<void> }> {
  const environment: Record<string, string> = {
    PATH: systemPath,
    NODE_ENV: "production",
    NODE_COMPILE_CACHE: compileCacheDirectory,
  };
  for (const [name, field] of Object.entries(fields)) {
    if (isSecret(field) || Object.hasOwn(fixed, name)) continue;
    for (const key of [name, `${name}_FILE`]) {
      const value = given[key];
      if (value) environment[key] = value;
    }
  }
  Object.assign(environment, fixed);
  const written: string[] = [];
  for (const [name, source] of Object.entries(secrets)) {
    let file: string;
    if ("file" in source) ({ file } = source);
    else {
      file = join(handover, `${name}.${randomBytes(6).toString("hex")}`);
      await writeFile(file, source.value, { mode: 0o600, flag: "wx" });
      written.push(file);
    }
    environment[`${name}_FILE`] = file;
  }
  return {
    environment,
    release: async () => {
      await Promise.all(written.map((file) => rm(file, { force: true })));
    },
  };
}
