import { hash, verify } from "@node-rs/argon2";
import PQueue from "p-queue";
import { z } from "zod";

import { Unavailable } from "../errors.ts";

/**
 * A new password. Length is what counts (NIST SP 800-63B-4 section 3.1.1.2), in Unicode code points: no rules on kinds
 * of characters. The upper bound keeps hashing from being fed megabytes; nothing is ever cut off.
 */
export const NewPassword = z
  .string()
  .refine(
    (text) => Array.from(text).length >= 15,
    "must have at least 15 characters; a few unrelated words make a good password",
  )
  .refine((text) => Buffer.byteLength(text) <= 1024, "must have at most 1024 bytes");

/** A password to check: anything a person could have typed. */
export const TypedPassword = z.string().min(1).max(1024);

export interface PasswordOptions {
  /** Argon2id memory in KiB. 64 MiB, 3 passes, 1 lane is the first choice of RFC 9106 section 4 for a shared machine. */
  memoryKiB?: number;
  passes?: number;
  /** How many hash at once; each takes a core and its memory. */
  concurrency?: number;
  /** How many may wait; more are told to come back, so that a flood of sign-ins costs time and not memory. */
  maxWaiting?: number;
}

export interface Passwords {
  /** @throws Unavailable (`auth.busy`) when too many wait */
  hash(password: string): Promise<string>;
  /**
   * Checks a password. With no stored hash it does the same work on a made-up one, so that the time does not tell
   * whether an account exists.
   * @throws Unavailable (`auth.busy`) when too many wait
   */
  verify(stored: string | null, password: string): Promise<boolean>;
}

export function createPasswords(options: PasswordOptions = {}): Passwords {
  const { memoryKiB = 64 * 1024, passes = 3, concurrency = 2, maxWaiting = 50 } = options;
  const queue = new PQueue({ concurrency });
  const parameters = { memoryCost: memoryKiB, timeCost: passes, parallelism: 1 };
  let decoy: Promise<string> | undefined;

  async function enqueue<T>(work: () => Promise<T>): Promise<T> {
    if (queue.size >= maxWaiting) {
      throw new Unavailable("auth.busy", "Too many sign-ins at this moment. Try again in a few seconds.", {
        retryAfterSeconds: 5,
      });
    }
    return await queue.add(work);
  }

  return {
    hash: (password) => enqueue(() => hash(normalize(password), parameters)),
    async verify(stored, password) {
      decoy ??= hash("no account has this password", parameters);
      const against = stored ?? (await decoy);
      const matches = await enqueue(() => verify(against, normalize(password)));
      return stored !== null && matches;
    },
  };
}

/** The same password typed on two keyboards can arrive in two Unicode forms. */
function normalize(password: string): string {
  return password.normalize("NFKC");
}
