import { describe, expect, test } from "vitest";

import { createPasswords, NewPassword } from "../src/index.ts";

// The attack: guessing. A password is as long as it has to be, counts to its last byte, costs a guesser 64 MiB and a
// twentieth of a second each time, and cannot be used to exhaust the server's memory by asking for many at once.

const quick = { memoryKiB: 1024, passes: 1 };

describe("a new password", () => {
  test.each([
    ["14 letters", "a".repeat(14), false],
    ["15 letters", "abcdefghijklmno", true],
    ["64 letters", "abcd".repeat(16), true],
    ["20 letters of one kind", "correcthorsebatterys", true],
    ["15 spaces and signs", "  !  ?  -  ~  $", true],
    ["1024 bytes", "a".repeat(1024), true],
    ["1025 bytes", "a".repeat(1025), false],
    ["1026 bytes in 342 characters", "€".repeat(342), false],
    ["15 emoji", "😀".repeat(15), true],
    ["14 emoji, which JavaScript counts as 28", "😀".repeat(14), false],
  ])("of %s: %s is accepted: %s", (_what, password, accepted) => {
    expect(NewPassword.safeParse(password).success).toBe(accepted);
  });

  test("that is too short says what would be good", () => {
    expect(NewPassword.safeParse("short").error?.issues[0]?.message).toContain("a few unrelated words");
  });
});

describe("a stored password", () => {
  test("is argon2id with 64 MiB and 3 passes unless configured otherwise", async () => {
    const stored = await createPasswords().hash("four unrelated words together");
    expect(stored).toMatch(/^\$argon2id\$v=19\$m=65536,t=3,p=1\$/);
  });

  test("has a salt of its own each time", async () => {
    const passwords = createPasswords(quick);
    expect(await passwords.hash("the same password")).not.toBe(await passwords.hash("the same password"));
  });

  test("counts to its last byte", async () => {
    const passwords = createPasswords(quick);
    for (const length of [72, 128, 1023]) {
      const stored = await passwords.hash(`${"a".repeat(length)}b`);
      expect(await passwords.verify(stored, `${"a".repeat(length)}c`)).toBe(false);
      expect(await passwords.verify(stored, "a".repeat(length))).toBe(false);
      expect(await passwords.verify(stored, `${"a".repeat(length)}b`)).toBe(true);
    }
  });

  test("is the same in both of its Unicode forms, and no other", async () => {
    const passwords = createPasswords(quick);
    const stored = await passwords.hash("résumé et naïveté".normalize("NFC"));
    expect(await passwords.verify(stored, "résumé et naïveté".normalize("NFD"))).toBe(true);
    expect(await passwords.verify(stored, "resume et naivete")).toBe(false);
  });

  test("made with other parameters still verifies", async () => {
    const stored = await createPasswords({ memoryKiB: 2048, passes: 2 }).hash("an older password");
    expect(await createPasswords(quick).verify(stored, "an older password")).toBe(true);
  });
});

describe("an account that is not there", () => {
  test("has no password, not even the one that is compared in its place", async () => {
    const passwords = createPasswords(quick);
    expect(await passwords.verify(null, "no account has this password")).toBe(false);
  });

  test("costs as much work as one that is", async () => {
    const passwords = createPasswords();
    const stored = await passwords.hash("four unrelated words together");
    await passwords.verify(null, "warms the stand-in up");
    const timeOf = async (against: string | null) => {
      const startedAt = performance.now();
      await passwords.verify(against, "a wrong password");
      return performance.now() - startedAt;
    };
    const [absent, present] = [[] as number[], [] as number[]];
    for (let round = 0; round < 6; round += 1) {
      absent.push(await timeOf(null));
      present.push(await timeOf(stored));
    }
    // The least of each, because other work on the machine only adds. No work at all would be a ratio of 0.001.
    const ratio = Math.min(...absent) / Math.min(...present);
    expect(ratio).toBeGreaterThan(0.5);
    expect(ratio).toBeLessThan(2);
  });
});

describe("many at once", () => {
  test("wait in a bounded queue; who does not fit is told when to come back", async () => {
    const passwords = createPasswords({ ...quick, concurrency: 1, maxWaiting: 3 });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, (_, index) => passwords.hash(`password number ${index}`)),
    );
    const refused = outcomes.filter((outcome) => outcome.status === "rejected");
    expect(refused).toHaveLength(16);
    for (const { reason } of refused) {
      expect(reason).toMatchObject({ kind: "unavailable", reason: "auth.busy", retryAfterSeconds: 5 });
    }
    await expect(passwords.hash("afterwards there is room again")).resolves.toContain("$argon2id$");
  });
});
