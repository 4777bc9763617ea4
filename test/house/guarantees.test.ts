import { fileURLToPath } from "node:url";

import { expect, test } from "vitest";

// @boundaries-ignore It is the generator that is judged here.
import { describeGuarantees, matchProofs } from "../../scripts/docs/describe-guarantees.ts";

const listed = [{ id: "ISO-1" }, { id: "ISO-2" }];

test("every guarantee has a test, and every test that names one names one of the list", async () => {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  await expect(describeGuarantees(root)).resolves.toHaveProperty(["docs/security/guarantees.md"]);
});

/** What the source of a test of that name looks like. */
const sourceOf = (ids: string): string =>
  `it.runIf(isRoot).each(["a"])(\n    "${ids}: it holds", async () => {});`;

test("tests are found under one id or several, behind tables and conditions", () => {
  const content = sourceOf("ISO-1, ISO-2");
  expect(matchProofs(listed, [{ path: "a.test.ts", content }])).toEqual(
    new Map([
      ["ISO-1", ["a.test.ts"]],
      ["ISO-2", ["a.test.ts"]],
    ]),
  );
});

test("a guarantee without a test is red, and so is a test of one that nobody promised", () => {
  const content = sourceOf("ISO-1") + sourceOf("ISO-99");
  const match = () => matchProofs(listed, [{ path: "a.test.ts", content }]);
  expect(match).toThrow(/ISO-2, which .* promises/);
  expect(match).toThrow(/a\.test\.ts proves ISO-99/);
});
