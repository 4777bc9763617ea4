import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { run } from "../support/sql.ts";
import { type Account, createAdmin, createUser, password } from "../support/accounts.ts";
import { mutate, query } from "../support/call.ts";
import { hasChromium, type RunningDashboard, startChromium, startDashboard } from "../support/dashboard.ts";
import { addType, callTool, createInstance, findBundle, type Instance } from "../support/instances.ts";
import { type Product, startProduct } from "../support/product.ts";
import { subscribe } from "../support/subscribe.ts";
import { startSwitchableRelay, type SwitchableRelay } from "../support/switchable-relay.ts";
import { until } from "../support/until.ts";

const streamsPerUser = 4;
const patience = { timeout: 30_000 };

async function say(instance: Instance, lines: string[]): Promise<void> {
  expect((await callTool(instance, "say", { lines })).status).toBe(200);
}

describe.runIf(hasChromium())("an open page", { timeout: 180_000 }, () => {
  let product: Product;
  let admin: Account;
  let owner: Account;
  let api: SwitchableRelay;
  let dashboard: RunningDashboard;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;

  beforeAll(async () => {
    product = await startProduct({
      findBundle,
      environment: { STREAMS_PER_USER: String(streamsPerUser) },
    });
    await addType(product, "plain");
    const folder = { description: "Where it works.", argument: "--folder" };
    await addType(product, "keyed", { provider: "github", config: { folder } });
    admin = await createAdmin(product);
    api = await startSwitchableRelay(product.api.url);
    dashboard = await startDashboard({ apiUrl: api.url });
    browser = await startChromium();
  });

  afterAll(async () => {
    await browser.close();
    await dashboard[Symbol.asyncDispose]();
    await api[Symbol.asyncDispose]();
    await product[Symbol.asyncDispose]();
  });

  beforeEach(async () => {
    owner = await createUser(product, admin);
    context = await browser.newContext({ baseURL: dashboard.url });
    context.setDefaultTimeout(patience.timeout);
    page = await context.newPage();
    const headers = { "sec-fetch-site": "same-origin" };
    await context.request.post("/api/session", { headers, data: { email: owner.email, password } });
  });

  afterEach(async () => {
    api.switchTo("pass");
    await context.close();
    await until("no stream is open", () => api.open().length === 0, patience.timeout);
  });

  function create(input: object = {}): Promise<Instance> {
    return createInstance(product, owner, { type: "plain", ...input });
  }

  const openStreams = () => api.open();

  async function shownLines(): Promise<string[]> {
    return await page.getByRole("log").getByRole("listitem").locator("bdi").allInnerTexts();
  }

  describe("is live", () => {
    test("over one stream of the API, which brings what others do, and asks for nothing again and again", async () => {
      await page.goto("/");
      await page.getByText("Nothing is running").waitFor();
      await expect.poll(openStreams, patience).toEqual(["/trpc/mcp.watchAll"]);
      const before = api.asked.length;
      const { id } = await create({ label: "Made elsewhere" });
      await page.getByRole("link", { name: "Made elsewhere" }).waitFor();
      await mutate(product.api.url, "mcp.revoke", { id }, { token: owner.token });
      await page.getByText("Nothing is running").waitFor();
      expect(api.asked.slice(before)).toEqual([]);
    });

    test("and gives its stream back while nobody sees it", async () => {
      await page.goto("/");
      await expect.poll(openStreams, patience).toEqual(["/trpc/mcp.watchAll"]);
      const see = (hidden: boolean) =>
        page.evaluate(`Object.defineProperty(document, "hidden", { value: ${hidden}, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"))`);
      await see(true);
      await expect.poll(openStreams, patience).toEqual([]);
      await create({ label: "Made meanwhile" });
      await see(false);
      await page.getByRole("link", { name: "Made meanwhile" }).waitFor();
    });

    test("and says so when its user has too many streams, and goes on by itself when there is room", async () => {
      const taken = await Promise.all(
        Array.from({ length: streamsPerUser }, () =>
          subscribe(product.api.url, "mcp.watchAll", undefined, { token: owner.token }),
        ),
      );
      await Promise.all(taken.map((stream) => stream.next()));
      await page.goto("/");
      const trouble = page.getByText(`You have ${streamsPerUser} open streams`);
      await trouble.waitFor();
      await Promise.all(taken.map((stream) => stream[Symbol.asyncDispose]()));
      await expect.poll(() => trouble.count(), patience).toBe(0);
    });

    test("but does not keep its session alive, and leads to the sign-in page when that is over", async () => {
      await page.goto("/");
      await expect.poll(openStreams, patience).toEqual(["/trpc/mcp.watchAll"]);
      const { ownerUrl } = product.database;
      const change = (columns: string) =>
        run(ownerUrl, `update sessions set ${columns} where user_id = $1`, [owner.id]);
      await change("last_seen_at = now() - interval '50 minutes'");
      api.switchTo("away");
      await page.getByText("MiniMCP does not answer, so this may be old").waitFor();
      api.switchTo("pass");
      await create({ label: "After the interruption" });
      await page.getByRole("link", { name: "After the interruption" }).waitFor();
      const [session] = await run<{ old: boolean }>(
        ownerUrl,
        "select last_seen_at < now() - interval '49 minutes' as old from sessions where user_id = $1 and bearer_hash is not null",
        [owner.id],
      );
      expect(session?.old).toBe(true);
      await change("idle_expires_at = now()");
      await page.waitForURL("**/sign-in");
    });
  });

  describe("shows the log of an instance", () => {
    test("empty, then each line as it is written, and pauses and goes on without a gap or a repetition", async () => {
      const instance = await create();
      await page.goto(`/instances/${instance.id}`);
      await page.getByText("It has written nothing yet.").waitFor();
      await say(instance, ["one", "two"]);
      await expect.poll(shownLines, patience).toEqual(["one", "two"]);

      await page.getByRole("button", { name: "Pause the log" }).click();
      await expect.poll(openStreams, patience).toEqual(["/trpc/mcp.watch"]);
      await say(instance, ["three"]);
      expect(await shownLines()).toEqual(["one", "two"]);
      await page.getByRole("button", { name: "Follow the log" }).click();
      await expect.poll(shownLines, patience).toEqual(["one", "two", "three"]);

      api.switchTo("away");
      await page.getByText("MiniMCP does not answer, so this may be old").first().waitFor();
      api.switchTo("pass");
      await say(instance, ["four"]);
      await expect.poll(shownLines, patience).toEqual(["one", "two", "three", "four"]);

      await page.getByRole("button", { name: "Pause the log" }).click();
      await say(instance, ["five"]);
      await mutate(product.api.url, "mcp.revoke", { id: instance.id }, { token: owner.token });
      await page.getByRole("heading", { name: "Receipt" }).waitFor();
      const all = ["one", "two", "three", "four", "five"];
      await expect.poll(shownLines, patience).toEqual(all);
      await page.reload();
      await expect.poll(shownLines, patience).toEqual(all);
      expect(await page.getByRole("button", { name: /the log/ }).count()).toBe(0);
    });

    test("as text, without what looks like a secret", async () => {
      const instance = await create();
      const hostile = ["<img src=x onerror=window.ran=true>", "</script><script>window.ran=true"];
      await say(instance, [...hostile, "Authorization: Bearer ghp_0123456789abcdefghijABCDEFGHIJ012345"]);
      await page.goto(`/instances/${instance.id}`);
      await expect.poll(shownLines, patience).toHaveLength(3);
      const shown = await shownLines();
      expect(shown.slice(0, 2)).toEqual(hostile);
      expect(shown[2]).not.toContain("ghp_0123456789");
      expect(await page.evaluate("window.ran")).toBeUndefined();
    });
  });

  describe("tells what is the matter", () => {
    const pages = [
      { path: "/", ready: "Nothing is running" },
      { path: "/?show=over", ready: "Nothing is over yet" },
      { path: "/keys", ready: "You have no keys yet" },
      { path: "/instances/new", ready: "Everything (playground)" },
      { path: "an instance", ready: "It has written nothing yet." },
    ];

    test.each(pages)(
      "$path: while it loads, when it is there, when the API is away, and when it is back",
      async ({ path: given, ready }) => {
        const path = given === "an instance" ? `/instances/${(await create()).id}` : given;
        api.switchTo("hold");
        await page.goto(path, { waitUntil: "commit" });
        await page.getByRole("status").filter({ hasText: "Loading" }).waitFor();
        expect(await page.getByText(ready).count()).toBe(0);
        api.switchTo("pass");
        await page.getByText(ready).first().waitFor();

        api.switchTo("away");
        await page.goto(path);
        await page.getByRole("heading", { name: "MiniMCP does not answer" }).waitFor();
        api.switchTo("pass");
        await page.getByRole("link", { name: "Try again" }).click();
        await page.getByText(ready).first().waitFor();
      },
    );

    test("the browser is offline: on a page that is live, on one that sends, and when somebody signs in", async () => {
      await page.goto("/");
      await expect.poll(openStreams, patience).toEqual(["/trpc/mcp.watchAll"]);
      await context.setOffline(true);
      const lost = page.getByText("The connection to the dashboard is lost");
      await lost.waitFor();
      await context.setOffline(false);
      await lost.waitFor({ state: "detached" });

      for (const [path, button] of [
        ["/instances/new", "Create instance"],
        ["/keys", "Add key"],
        ["/sign-in", "Sign in"],
      ] as const) {
        await page.goto(path);
        for (const [label, value] of [
          ["E-mail", owner.email],
          ["Password", password],
          ["Label", "A label"],
          ["Key", "ghp_0123456789abcdef"],
        ] as const) {
          const field = page.getByLabel(label, { exact: true });
          if ((await field.count()) > 0) await field.fill(value);
        }
        await context.setOffline(true);
        await page.getByRole("button", { name: button }).click();
        await page.getByText("The dashboard does not answer").waitFor();
        await context.setOffline(false);
      }
    });

    test("an instance that does not exist, or is somebody else's, is no page", async () => {
      const foreign = await createInstance(product, admin, { type: "plain" });
      for (const id of [foreign.id, "3f1c2a44-0000-4000-8000-000000000000", "nonsense"]) {
        await page.goto(`/instances/${id}`);
        await page.getByRole("heading", { name: "There is no such page" }).waitFor();
        expect(await page.getByText("plain").count()).toBe(0);
      }
    });
  });

  test("a type that needs a key says which, and takes the key and the configuration that its owner gives", async () => {
    await page.goto("/instances/new");
    await page.getByRole("radio", { name: "keyed" }).check();
    await page.getByText("Any key of the tests.").waitFor();
    expect(await page.getByRole("button", { name: "Create instance" }).isDisabled()).toBe(true);
    const key = { provider: "github", label: "Work", secret: "ghp_0123456789abcdef" };
    await mutate(product.api.url, "apiKey.create", key, { token: owner.token });
    await page.reload();
    await page.getByRole("radio", { name: "keyed" }).check();
    await page.getByLabel("folder").fill("x".repeat(10));
    await page.getByLabel("Lifetime in minutes").fill("1441");
    await page.getByRole("button", { name: "Create instance" }).click();
    const isValid = "document.querySelector('input[type=number]').validity.valid";
    expect(await page.evaluate(isValid)).toBe(false);
    await page.getByRole("button", { name: "15 min" }).click();
    await page.getByRole("button", { name: "Create instance" }).click();
    await page.getByRole("heading", { name: "Connect your client" }).waitFor();
    const list = await query(product.api.url, "mcp.list", undefined, { token: owner.token });
    expect(list.data.items[0]).toMatchObject({
      type: "keyed",
      config: { folder: "xxxxxxxxxx" },
      apiKeyId: expect.any(String),
    });
  });

  test("a receipt sets what was used against what was granted", async () => {
    const { id } = await create();
    await mutate(product.api.url, "mcp.revoke", { id }, { token: owner.token });
    const host = { requests: 3, denied: 0, bytesOut: 500, bytesIn: 12_300 };
    await run(
      product.database.ownerUrl,
      "update receipts set granted = $2, tool_calls = $3, hosts = $4 where instance_id = $1",
      [
        id,
        { tools: ["read", "write"], hosts: ["api.example.com", "cdn.example.com"] },
        { read: 2, "<b>guessed</b>": 1 },
        { "api.example.com": host, "evil.example.com": { requests: 0, denied: 4, bytesOut: 0, bytesIn: 0 } },
      ],
    );
    await page.goto(`/instances/${id}`);
    await page.getByText("1 of 2 granted tools were used").waitFor();
    await page.getByText("1 of 2 granted hosts were asked").waitFor();
    const rows = await page.getByRole("row").allInnerTexts();
    expect(rows.map((row) => row.split(/\s+/).join(" "))).toEqual([
      "Tool Calls",
      "read 2",
      "<b>guessed</b> not one of its type 1",
      "write 0",
      "Host Requests Refused Sent Received",
      "api.example.com 3 0 500 B 12.3 kB",
      "evil.example.com not granted 0 4 0 B 0 B",
      "cdn.example.com 0 0 0 B 0 B",
    ]);
  });

  test("what is over is shown page by page, and the last days as a picture and in numbers", async () => {
    await run(
      product.database.ownerUrl,
      `with made as (
         insert into instances (id, user_id, type_id, label, state, end_reason, expires_at, ended_at, created_at)
         select gen_random_uuid(), $1, 'plain', 'Number ' || number, 'ended', 'expired', now() + interval '1 minute', now(),
                now() - make_interval(secs => 0.027 - number * 0.001)
         from generate_series(1, 27) as number returning id, user_id)
       insert into receipts (instance_id, user_id) select id, user_id from made`,
      [owner.id],
    );
    await page.goto("/");
    await page.getByRole("img", { name: "Instances by day, at most 27 on one" }).waitFor();
    await page.getByText("As a table").click();
    const today = new Date().toISOString().slice(0, 10);
    await page.getByRole("row", { name: `${today} 27 0` }).waitFor();

    await page.getByRole("link", { name: "Over", exact: true }).click();
    await page.getByRole("link", { name: "Number 27" }).waitFor();
    const rows = page.getByRole("list", { name: "Instances that are over" }).getByRole("listitem");
    expect(await rows.count()).toBe(25);
    await page.getByRole("link", { name: "Older" }).click();
    await page.getByRole("link", { name: "Number 1", exact: true }).waitFor();
    expect(await rows.count()).toBe(2);
    expect(await page.getByRole("link", { name: "Older" }).count()).toBe(0);
    await page.getByRole("link", { name: "Newest" }).click();
    await page.getByRole("link", { name: "Number 27" }).waitFor();
    await page.goto("/?show=over&before=nonsense");
    await page.getByText("This cursor is not one").waitFor();
  });
});
