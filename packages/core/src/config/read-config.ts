import { readFileSync, statSync } from "node:fs";

import type { z } from "zod";

/** What is wrong with a configuration, all of it at once. Never contains a value. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(`The configuration is not usable:\n${problems.map((problem) => `  - ${problem}`).join("\n")}`);
    this.problems = problems;
  }
}

/** Marks a setting whose value must never be printed and whose file must be private. */
export const secret = { secret: true } as const;

export type Environment = Readonly<Record<string, string | undefined>>;

/** The settings of one process: each with its form. */
export type SettingFields = Readonly<Record<string, z.ZodType>>;

export type SettingValues<Fields extends SettingFields> = { [Name in keyof Fields]: z.infer<Fields[Name]> };

/** Says what one setting demands of another. Settings that are wrong by themselves are missing from `values`. */
export type CrossCheck<Fields extends SettingFields> = (
  values: Partial<SettingValues<Fields>>,
  complain: (name: string, message: string) => void,
) => void;

/**
 * Reads settings from an environment. Each `NAME` can also be given as `NAME_FILE`, the path of a file with the value;
 * a secret's file must be readable by its owner alone.
 * @throws ConfigError with every problem there is
 */
export function readConfig<Fields extends SettingFields>(
  fields: Fields,
  environment: Environment,
  crossCheck?: CrossCheck<Fields>,
): SettingValues<Fields> {
  const problems: string[] = [];
  const complain = (name: string, message: string) => problems.push(`${name}: ${message}`);
  const values: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(fields)) {
    const given = readSetting(name, isSecret(field), environment, complain);
    if (given.kind === "unreadable") continue;
    const parsed = field.safeParse(given.value);
    if (parsed.success) values[name] = parsed.data;
    else if (given.value === undefined) complain(name, "is required");
    else for (const issue of parsed.error.issues) complain(name, issue.message);
  }
  crossCheck?.(values as Partial<SettingValues<Fields>>, complain);
  if (problems.length > 0) throw new ConfigError(problems);
  return values as SettingValues<Fields>;
}

/** Whether a field was marked as a secret. */
export function isSecret(field: z.ZodType): boolean {
  return field.meta()?.["secret"] === true;
}

type Given = { kind: "read"; value: string | undefined } | { kind: "unreadable" };

function readSetting(
  name: string,
  isPrivate: boolean,
  environment: Environment,
  complain: (name: string, message: string) => void,
): Given {
  // An empty variable is how many tools say "not set".
  const direct = environment[name] || undefined;
  const file = environment[`${name}_FILE`] || undefined;
  if (file === undefined) return { kind: "read", value: direct };
  if (direct !== undefined) {
    complain(name, `is given twice, as ${name} and as ${name}_FILE; keep one`);
    return { kind: "unreadable" };
  }
  try {
    const exposure = isPrivate ? findExposure(file) : undefined;
    if (exposure !== undefined) {
      complain(`${name}_FILE`, exposure);
      return { kind: "unreadable" };
    }
    return { kind: "read", value: readFileSync(file, "utf8").replace(/\r?\n$/, "") };
  } catch (error) {
    complain(`${name}_FILE`, `cannot be read (${(error as NodeJS.ErrnoException).code ?? "unknown error"})`);
    return { kind: "unreadable" };
  }
}

/** Who else can get at a secret's file, in words; undefined when it is private. Root can read every file anyway. */
function findExposure(file: string): string | undefined {
  const { mode, uid } = statSync(file);
  if ((mode & 0o077) !== 0) return "the file can be read by others; run: chmod 600 on it";
  if (uid !== 0 && uid !== process.geteuid?.())
    return "the file is another user's, who can read and replace it; make it yours, or run as that user";
  return undefined;
}
