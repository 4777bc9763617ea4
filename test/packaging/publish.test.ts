import { cp, readFile } from "node:fs/promises";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

import { clientFolder, type Consumer, createConsumer, root, rootBin, runOrFail } from "./support/consumer.ts";

vi.setConfig({ testTimeout: 60_000 });

let consumer: Consumer;
let version: string;

beforeAll(async () => {
  consumer = await createConsumer();
  const manifest = JSON.parse(await readFile(join(clientFolder, "package.json"), "utf8")) as {
    version: string;
  };
  ({ version } = manifest);
}, 240_000);

afterAll(() => consumer[Symbol.asyncDispose]());

describe("publishing the client", () => {
  it("passes as a rehearsal, in public and with provenance", async () => {
    const args = ["publish", "--dry-run", "--tag", "latest", consumer.tarball];
    const printed = await runOrFail("npm", args, consumer.path());
    expect(printed).toContain(`+ @minimcp/client@${version}`);
    expect(printed).toContain("with tag latest and public access (dry-run)");
    const packed = await readFile(consumer.path("node_modules/@minimcp/client/package.json"), "utf8");
    expect(JSON.parse(packed)).toMatchObject({ publishConfig: { access: "public", provenance: true } });
  });

  it("comes with a changelog that begins with the version at hand", async () => {
    const changelog = await readFile(consumer.path("node_modules/@minimcp/client/CHANGELOG.md"), "utf8");
    expect(/^## (.*)$/m.exec(changelog)?.[1]).toBe(version);
  });

  it("turns a change that was written down into a version and its entry in the changelog, and nothing else", async () => {
    const inWorkspace = (...parts: string[]) => consumer.path("workspace", ...parts);
    const untouched = ["package.json", "packages/shared/package.json", "apps/cli/package.json"];
    const files = [".changeset/config.json", "pnpm-workspace.yaml", ...untouched];
    for (const file of [...files, "packages/client/package.json", "packages/client/CHANGELOG.md"]) {
      await cp(join(root, file), inWorkspace(file));
    }
    await consumer.write(
      "workspace/.changeset/watch.md",
      '---\n"@minimcp/client": minor\n---\n\nTell the time in five ways.\n',
    );
    await runOrFail(join(rootBin, "changeset"), ["version"], inWorkspace());

    const [major, minor] = version.split(".").map(Number);
    const next = `${major}.${Number(minor) + 1}.0`;
    const read = (file: string) => readFile(inWorkspace(file), "utf8");
    expect(JSON.parse(await read("packages/client/package.json"))).toMatchObject({ version: next });
    expect(await read("packages/client/CHANGELOG.md")).toContain(
      `## ${next}\n\n### Minor Changes\n\n- Tell the time in five ways.\n\n## ${version}\n`,
    );
    for (const file of untouched) expect(await read(file)).toBe(await readFile(join(root, file), "utf8"));
  });
});
