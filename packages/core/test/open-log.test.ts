import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";

import { expect, it } from "vitest";

import { openLog } from "../src/service/open-log.ts";

it("a secret that is handed to a log by mistake is left out, and so is what libraries hang on errors", async () => {
  const written = new PassThrough();
  const log = openLog("test", "info", written);
  const secret = "hunter2-hunter2";
  const names = ["password", "secret", "token", "accessToken", "refreshToken", "authorization"];
  for (const name of names) log.info({ call: { path: "/a", [name]: secret } }, "called");
  log.error({ err: Object.assign(new Error("refused"), { client: { password: secret } }) }, "failed");
  log.debug("below the level");
  written.end();

  const lines = (await text(written)).trim().split("\n");
  expect(lines).toHaveLength(names.length + 1);
  expect(lines.join("\n")).not.toContain(secret);
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({ process: "test", call: { path: "/a" }, msg: "called" });
  expect(JSON.parse(lines.at(-1) ?? "")).toMatchObject({ err: { message: "refused" }, msg: "failed" });
});
