import { expect, test } from "vitest";

import { formatBytes } from "../src/format-bytes.ts";
import { formatDuration, formatRelative } from "../src/format-time.ts";
import { parseLifetime } from "../src/lifetime.ts";
import { BackOff } from "../src/supervisor/back-off.ts";
import { formatTable } from "../src/table.ts";

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
  expect([0, 40_000, 3_599_000, 3_600_000, 5_399_600, 90_000_000].map(formatDuration)).toEqual([
    "0 s",
    "40 s",
    "59 min 59 s",
    "1 h",
    "1 h 30 min",
    "1 d 1 h",
  ]);
  const now = new Date("2026-01-01T00:00:00Z");
  expect(formatRelative(new Date("2026-01-01T00:05:00Z"), now)).toBe("in 5 min");
  expect(formatRelative(new Date("2025-12-31T23:59:18Z"), now)).toBe("42 s ago");
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
