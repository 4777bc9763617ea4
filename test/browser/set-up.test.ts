import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

// @boundaries-ignore The product as a newcomer starts it; how the command line's own tests do that.
import { Machine, type ReadyLine, type Started } from "../../apps/cli/test/support/machine.ts";
import { hasChromium, startChromium } from "../support/dashboard.ts";
import { judgePage, noteComplaints } from "../support/judge-page.ts";

const email = "ada@example.com";
const password = "four unrelated words together";

describe.runIf(hasChromium())("a newcomer with a browser", () => {
  let machine: Machine;
  let product: Started;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let complaints: string[];

  beforeAll(async () => {
    machine = await Machine.create();
    product = await machine.start({ DASHBOARD: "on", DASHBOARD_PORT: "0", SIGN_UP_POLICY: "closed" });
    browser = await startChromium();
    context = await browser.newContext();
    page = await context.newPage();
    page.setDefaultTimeout(15_000);
    complaints = noteComplaints(page);
  }, 120_000);

  afterAll(async () => {
    await browser.close();
    await machine[Symbol.asyncDispose]();
  });

  async function fillIn(values: Record<string, string>): Promise<void> {
    for (const [label, value] of Object.entries(values)) await page.getByLabel(label).fill(value);
    await page.getByRole("button", { name: "Create account" }).click();
  }

  test("the set-up link makes the first administrator, whatever the policy, and the endpoint made next answers a real client", async () => {
    const { setUpUrl, dashboard, nextStep } = product.ready;
    expect(setUpUrl).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/set-up#inv_[0-9A-Za-z]{49}$/);
    expect(setUpUrl?.startsWith(`${dashboard?.url}/`)).toBe(true);
    expect(nextStep).toContain("admin create");

    await page.goto(setUpUrl ?? "");
    await page.getByRole("heading", { name: "Set up MiniMCP" }).waitFor();
    await expect.poll(() => page.url()).toBe(`${dashboard?.url}/set-up`);
    await judgePage(page, "set-up");
    await fillIn({ "E-mail": email, Name: "Ada Lovelace", Password: password });
    await page.getByRole("heading", { name: "Instances", level: 1 }).waitFor();

    await page.getByRole("link", { name: "New instance" }).first().click();
    await page.getByRole("button", { name: "Create instance" }).click();
    await page.getByRole("heading", { name: "Connect your client" }).waitFor();
    const token = await page.getByLabel("Access token", { exact: true }).innerText();
    const endpoint = await page.getByLabel("Endpoint", { exact: true }).innerText();
    const client = new Client({ name: "newcomer", version: "1.0.0" });
    await client.connect(
      new StreamableHTTPClientTransport(new URL(endpoint), {
        requestInit: { headers: { Authorization: `Bearer ${token}` } },
      }),
    );
    const answer = await client.callTool({ name: "echo", arguments: { message: "from a browser" } });
    expect(answer.content).toMatchObject([{ type: "text", text: expect.stringContaining("from a browser") }]);
    await client.close();
    await page.getByText("Your client connected.").waitFor();
    expect(complaints).toEqual([]);
  });

  test("the account that a browser made signs in at the command line as well", async () => {
    await machine.json(["login", "--email", email, "--password-stdin"], { stdin: password });
    const { user } = await machine.json<{ user: { role: string; name: string } }>(["whoami"]);
    expect(user).toMatchObject({ role: "admin", name: "Ada Lovelace" });
  });

  test("a set-up link that was used, or that is made up, says what to do and keeps what was typed", async () => {
    const stranger = await browser.newContext();
    page = await stranger.newPage();
    await page.goto(product.ready.setUpUrl ?? "");
    await fillIn({ "E-mail": "eve@example.com", Password: "four other unrelated words" });
    await page.getByText("takes no new accounts").waitFor();
    await page.getByText("MiniMCP prints a new one each time it starts").waitFor();
    expect(await page.getByLabel("E-mail").inputValue()).toBe("eve@example.com");

    await page.goto(`${product.ready.dashboard?.url}/join`);
    await page.getByLabel("Invitation code").waitFor();
    await judgePage(page, "join");
    await stranger.close();
  });

  test("a dashboard that is killed is back under its address, and the browser still signed in", async () => {
    const { dashboard } = product.ready;
    page = await context.newPage();
    process.kill(dashboard?.pid ?? 0, "SIGKILL");
    await expect
      .poll(async () => (await machine.json<ReadyLine>(["status"])).dashboard, { timeout: 20_000 })
      .toMatchObject({ state: "ready", restarts: 1, url: dashboard?.url });
    await page.goto(dashboard?.url ?? "");
    await page.getByRole("heading", { name: "Instances", level: 1 }).waitFor();
  });

  test("a start of an installation that has an administrator prints no set-up link", async () => {
    await machine.json(["stop"]);
    const again = await machine.start({ DASHBOARD: "on", DASHBOARD_PORT: "0" });
    expect(again.ready).toMatchObject({ setUpUrl: null, nextStep: null, dashboard: { state: "ready" } });
  });
});
