import { expect, it } from "vitest";

import { ChildLink, type ChildLinkOptions } from "../src/stdio/child-link.ts";
import { ChildGoneError, LineTooLongError, RequestTimeoutError } from "../src/stdio/json-rpc.ts";
import { FIXTURE } from "./support/fixture.ts";

function startLink(options: Partial<ChildLinkOptions> = {}): ChildLink {
  return new ChildLink({
    command: process.execPath,
    args: [FIXTURE],
    log: () => {},
    onStderrLine: () => {},
    onNotification: () => {},
    ...options,
  });
}

it("a call without an answer ends at the request timeout, and the server is told", async () => {
  const lines: string[] = [];
  await using link = startLink({ requestTimeoutMs: 100, onStderrLine: (line) => void lines.push(line) });
  await link.initialize();
  const call = link.request("tools/call", { name: "hang" });
  await expect(call).rejects.toBeInstanceOf(RequestTimeoutError);
  await expect(call).rejects.toMatchObject({ code: -32001, message: expect.stringContaining("for 0.1 s") });
  await expect.poll(() => lines).toContain("cancelled 2");
});

it("a call that shows progress outlives the request timeout", async () => {
  const progress: unknown[] = [];
  await using link = startLink({ requestTimeoutMs: 400 });
  await link.initialize();
  const startedAt = performance.now();
  const params = { name: "progressFor", _meta: { progressToken: 7 } };
  await link.request("tools/call", params, {
    onNotification: (_, { progress: done }) => void progress.push(done),
  });
  expect(performance.now() - startedAt).toBeGreaterThan(400);
  expect(progress).toEqual([1, 2, 3, 4, 5, 6]);
});

it("an answer over the limit is refused by that name, up to the limit it arrives", async () => {
  await using link = startLink({ maxLineBytes: 1_000 });
  await link.initialize();
  const reflect = (length: number) =>
    link.request("tools/call", { name: "reflect", arguments: { text: "x".repeat(length) } });
  await expect(reflect(1_000)).rejects.toBeInstanceOf(LineTooLongError);
  expect(await reflect(500)).toHaveProperty("content");
});

it("a server that never answers initialize ends the start at its timeout", async () => {
  await using link = startLink({ args: ["--eval", "setInterval(() => {}, 1000)"], startTimeoutMs: 200 });
  await expect(link.initialize()).rejects.toBeInstanceOf(RequestTimeoutError);
});

it("a program that does not exist is told as the reason", async () => {
  await using link = startLink({ command: "/nonexistent" });
  await expect(link.initialize()).rejects.toBeInstanceOf(ChildGoneError);
  expect(await link.exited).toContain("could not be started: spawn /nonexistent ENOENT");
});

it("a grandchild that keeps the pipes open does not hide the server's death", async () => {
  const script = `require("node:child_process").spawn(process.execPath, ["--eval", "setTimeout(() => {}, 3000)"],
    { stdio: ["ignore", "inherit", "inherit"] }); setTimeout(() => process.exit(4), 100);`;
  await using link = startLink({ args: ["--eval", script] });
  const startedAt = performance.now();
  expect(await link.exited).toBe("exited with code 4");
  expect(performance.now() - startedAt).toBeLessThan(2_500);
});

it("a call whose client is gone already is not sent", async () => {
  await using link = startLink();
  await link.initialize();
  const call = link.request(
    "tools/call",
    { name: "crash" },
    { signal: AbortSignal.abort(new Error("gone")) },
  );
  await expect(call).rejects.toThrow("gone");
  expect(await link.request("tools/call", { name: "reflect" })).toHaveProperty("content");
});
