// The attack: reach for the kernel calls behind most sandbox escapes, directly by number.
import { existsSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { openPool } from "../src/index.ts";
import { buildSeccompFilter, deniedCalls } from "../src/seccomp.ts";
import { fixtureServer, hasNamespaces, makeTestDirectory, runInside } from "./support/host.ts";

const architectures = [
  {
    name: "x64",
    audit: 0xc000003e,
    numberAt: 1,
    clone: 56,
    personality: 135,
    socket: 41,
    ioctl: 16,
    openat: 257,
  },
  {
    name: "arm64",
    audit: 0xc00000b7,
    numberAt: 2,
    clone: 220,
    personality: 92,
    socket: 198,
    ioctl: 29,
    openat: 56,
  },
] as const;

const allow = 0x7fff0000;
const refuse = (errno: number): number => 0x00050000 | errno;

/** Runs a classic BPF program over a `struct seccomp_data`, as the kernel would. */
function evaluate(
  program: Buffer,
  architecture: number,
  number: number,
  args: readonly number[] = [],
): number {
  const data = new Map([
    [0, number],
    [4, architecture],
    ...args.map((value, index): [number, number] => [16 + 8 * index, value]),
  ]);
  let accumulator = 0;
  for (let index = 0; index < program.length / 8; index++) {
    const at = index * 8;
    const [code, ifTrue, ifFalse, value] = [
      program.readUInt16LE(at),
      program.readUInt8(at + 2),
      program.readUInt8(at + 3),
      program.readUInt32LE(at + 4),
    ];
    if (code === 0x06) return value;
    if (code === 0x20) accumulator = (data.get(value) ?? 0) >>> 0;
    else if (code === 0x15) index += accumulator === value ? ifTrue : ifFalse;
    else if (code === 0x35) index += accumulator >= value ? ifTrue : ifFalse;
    else if (code === 0x45) index += (accumulator & value) !== 0 ? ifTrue : ifFalse;
    else throw new Error(`unknown instruction ${code}`);
  }
  throw new Error("the program ran past its end");
}

describe.each(architectures)(
  "the filter for $name",
  ({ name, audit, numberAt, clone, personality, socket, ioctl, openat }) => {
    const program = buildSeccompFilter(name);
    const verdict = (number: number, ...args: number[]): number => evaluate(program, audit, number, args);

    it("fits into the kernel's limit of 4096 instructions", () => {
      expect(program.length / 8).toBeLessThan(4096);
    });

    it("answers every listed call with its error", () => {
      const present = deniedCalls.filter((call) => call[numberAt] !== null);
      expect(present.map((call) => [call[0], verdict(call[numberAt] ?? -1)])).toEqual(
        present.map((call) => [call[0], refuse(call[3])]),
      );
    });

    it("lets ordinary calls pass", () => {
      expect(verdict(openat)).toBe(allow);
      expect(verdict(ioctl, 1, 0x5401)).toBe(allow);
    });

    it("kills a call of another architecture", () => {
      expect(evaluate(program, 0x40000003, openat)).toBe(0x80000000);
    });

    it("lets threads and forks through but no new namespace", () => {
      expect(verdict(clone, 0x003d0f00)).toBe(allow);
      expect(verdict(clone, 17)).toBe(allow);
      for (const bit of [17, 25, 26, 27, 28, 29, 30]) expect(verdict(clone, 2 ** bit)).toBe(refuse(1));
    });

    it("lets a personality be asked for and not changed", () => {
      expect(verdict(personality, 0xffffffff)).toBe(allow);
      expect(verdict(personality, 0x0040000)).toBe(refuse(1));
    });

    it("opens only local, internet and netlink sockets", () => {
      for (const family of [1, 2, 10, 16]) expect(verdict(socket, family)).toBe(allow);
      for (const family of [17, 38, 40]) expect(verdict(socket, family)).toBe(refuse(97));
    });

    it("lets nothing be typed into a terminal", () => {
      expect(verdict(ioctl, 0, 0x5412)).toBe(refuse(1));
      expect(verdict(ioctl, 0, 0x541c)).toBe(refuse(1));
    });
  },
);

it("x32 calls do not exist for a child on x86_64", () => {
  expect(evaluate(buildSeccompFilter("x64"), 0xc000003e, 0x40000000 | 1)).toBe(refuse(38));
});

// perl calls the kernel by number; it is part of Debian's base and so inside every sandbox there.
describe.runIf(hasNamespaces && process.arch === "x64" && existsSync("/usr/bin/perl"))(
  "the loaded filter",
  () => {
    it("ISO-4: answers every listed call with its error, from inside a child", async () => {
      await using directory = await makeTestDirectory();
      await using pool = await openPool(await directory.options());
      const child = await pool.start({ id: "calls", bundleDirectory: fixtureServer, entry: "server.js" });
      const calls: [string, number, number, number[]][] = [
        ...deniedCalls.flatMap(([name, x64, , errno]): [string, number, number, number[]][] =>
          x64 === null ? [] : [[name, x64, errno, []]],
        ),
        ["clone(NEWUSER)", 56, 1, [0x10000000]],
        ["socket(VSOCK)", 41, 97, [40, 1, 0]],
        ["ioctl(TIOCSTI)", 16, 1, [0, 0x5412]],
        ["personality(ADDR_NO_RANDOMIZE)", 135, 1, [0x0040000]],
      ];
      const script = calls
        .map(([, number, , args]) => {
          const six = [...args, 0, 0, 0, 0, 0, 0].slice(0, 6).join(", ");
          return `$! = 0; syscall(${number}, ${six}); print $!+0, "\\n";`;
        })
        .join("\n");
      const output = await runInside<string>(
        child.socketPath,
        `return spawnSync("/usr/bin/perl", ["-e", ${JSON.stringify(script)}], { encoding: "utf8" }).stdout`,
      );
      const answers = output.trim().split("\n").map(Number);
      expect(calls.map(([name], index) => [name, answers[index]])).toEqual(
        calls.map(([name, , errno]) => [name, errno]),
      );
    });
  },
);
