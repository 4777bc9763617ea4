import { expect, test } from "vitest";

import { formatBytes } from "../src/format-bytes.ts";
import { formatDeadline, formatDuration, formatRelative } from "../src/format-time.ts";
import { parseLifetime } from "../src/lifetime.ts";
import { BackOff } from "../src/supervisor/back-off.ts";
import { formatFields, formatTable } from "../src/table.ts";

test.for([
  ["90", 90],
  ["60m", 60],
  ["2h", 120],
  ["1h30m", 90],
  ["24h", 1440],
] as const)("a lifetime is read as it is written: %s", ([text, minutes]) => {
  expect(parseLifetime(text)).toBe(minutes);
});

test.for(["", "0", "1441", "25h", "h", "m", "1.5h", "-5", "5 m", "1m2h", "60s", "٥"])(
  "what is no lifetime is refused: %s",
  (text) => {
    expect(() => parseLifetime(text)).toThrow(/minutes/);
  },
);

test("times are told in two units, from the largest that counts", () => {
  expect([0, 40_000, 599_000, 3_599_000, 5_399_600, 90_000_000].map(formatDuration)).toEqual([
    "0 s",
    "40 s",
    "9 min 59 s",
    "1 h",
    "1 h 30 min",
    "1 d 1 h",
  ]);
  const now = new Date("2026-01-01T00:00:00Z");
  expect(formatRelative(new Date("2026-01-01T00:05:00Z"), now)).toBe("in 5 min");
  expect(formatRelative(new Date("2025-12-31T23:59:18Z"), now)).toBe("42 s ago");
});

test("a deadline of another day is told with its date", () => {
  const now = new Date(2026, 0, 1, 12, 0);
  expect(formatDeadline(new Date(2026, 0, 1, 13, 5), now)).toMatch(/^in 1 h 5 min \(\d+:05\D*\)$/);
  expect(formatDeadline(new Date(2026, 0, 2, 12, 5), now)).toMatch(/^in 1 d \(.*2026.*:05/);
});

test("long lists go on below themselves; addresses and tokens stay in one piece", () => {
  const token = "mcp_".padEnd(53, "0");
  const fields = [
    ["token", token],
    ["tools", "echo, get-sum, get-env"],
  ] as const;
  expect(formatFields(fields, 24)).toBe(
    [`token  ${token}`, "tools  echo, get-sum,", "       get-env"].join("\n"),
  );
});

test("bytes are told in decimal units", () => {
  expect([0, 999, 1_000, 1_250_000].map(formatBytes)).toEqual(["0 B", "999 B", "1.0 kB", "1.3 MB"]);
});

test("a name from the server cannot steer the terminal", () => {
  const table = formatTable(["LABEL", "ID"], [["\u001b[2J\u0007evil\rname\n", "1"]]);
  expect(table.replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
  expect(table.split("\n")).toHaveLength(2);
});

test("waiting doubles from one second to thirty, and begins afresh after a steady minute", () => {
  const backOff = new BackOff();
  expect([0, 0, 0, 0, 0, 0, 60_000, 0].map((aliveMs) => backOff.nextMs(aliveMs))).toEqual([
    1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 1_000, 2_000,
  ]);
});
