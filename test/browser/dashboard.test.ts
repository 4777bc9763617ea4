import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { type Account, createAdmin, password } from "../support/accounts.ts";
import { hasChromium, type RunningDashboard, startChromium, startDashboard } from "../support/dashboard.ts";
import { mutate } from "../support/call.ts";
import { createInstance, echo } from "../support/instances.ts";
import { judgePage, noteComplaints, picturesFolder } from "../support/judge-page.ts";
import { type Product, startProduct } from "../support/product.ts";

const hostileTexts = [
  "<script>window.ran = true</script>",
  "<img src=x onerror=window.ran=true>",
  "</script><svg onload=window.ran=true>",
  "javascript:window.ran=true",
  "{{constructor.constructor('window.ran=true')()}}",
  "\\u003cscript\\u003ewindow.ran=true\\u003c/script\\u003e",
  "]]><!--<style>*{display:none}</style>",
  "\u202Egnp.exe",
];

describe.runIf(hasChromium())("the dashboard in a browser", { timeout: 180_000 }, () => {
  let product: Product;
  let owner: Account;
  let dashboard: RunningDashboard;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let complaints: string[];

  beforeAll(async () => {
    product = await startProduct();
    owner = await createAdmin(product);
    dashboard = await startDashboard({ apiUrl: product.api.url });
    browser = await startChromium();
  });

  afterAll(async () => {
    await browser.close();
    await dashboard[Symbol.asyncDispose]();
    await product[Symbol.asyncDispose]();
  });

  beforeEach(async () => {
    context = await browser.newContext({ baseURL: dashboard.url });
    context.setDefaultTimeout(30_000);
    page = await context.newPage();
    complaints = noteComplaints(page);
  });

  afterEach(async () => {
    await context.close();
  });

  async function signIn(): Promise<void> {
    await page.goto("/sign-in");
    await page.getByLabel("E-mail").fill(owner.email);
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: "Instances", level: 1 }).waitFor();
  }

  const judge = (name: string) => judgePage(page, name);

  test("somebody who is not signed in sees the sign-in page and nothing else", async () => {
    for (const path of ["/", "/keys", "/instances/new", "/instances/3f1c2a44-0000-4000-8000-000000000000"]) {
      await page.goto(path);
      expect(new URL(page.url()).pathname).toBe("/sign-in");
    }
    expect((await page.request.get("/api/live")).status()).toBe(401);
    await judge("sign-in");
    expect(complaints).toEqual([]);
  });

  test("a sign-in leaves one sealed cookie that no script and no other site can use", async () => {
    await signIn();
    const cookies = await context.cookies();
    expect(cookies).toHaveLength(1);
    expect(cookies[0]).toMatchObject({
      name: "__Host-minimcp_session",
      httpOnly: true,
      secure: true,
      sameSite: "Strict",
      path: "/",
      domain: "127.0.0.1",
    });
    expect(await page.evaluate("document.cookie")).toBe("");
    expect(complaints).toEqual([]);
  });

  test("from an empty home to a connected client and its receipt", async () => {
    await signIn();
    await page.getByRole("heading", { name: "Nothing is running" }).waitFor();
    await judge("home-empty");

    await page.getByRole("link", { name: "New instance" }).click();
    await page.getByRole("heading", { name: "New instance" }).waitFor();
    await judge("new-instance");
    await page.getByLabel("Label").fill("Review of the draft");
    await page.getByRole("button", { name: "15 min" }).click();
    await page.getByRole("button", { name: "Create instance" }).click();

    await page.getByRole("heading", { name: "Connect your client" }).waitFor();
    await page.getByText("Waiting for the first call").waitFor();
    await judge("shown-once");
    const token = await page.getByLabel("Access token", { exact: true }).innerText();
    const endpoint = await page.getByLabel("Endpoint", { exact: true }).innerText();
    expect(token).toMatch(/^mcp_[0-9A-Za-z]{49}$/);
    await page.getByRole("tab", { name: "Cursor" }).click();
    expect(await page.getByLabel(".cursor/mcp.json", { exact: true }).innerText()).toContain(token);

    const client = new Client({ name: "somebody's client", version: "1.0.0" });
    const headers = { Authorization: `Bearer ${token}` };
    await client.connect(new StreamableHTTPClientTransport(new URL(endpoint), { requestInit: { headers } }));
    const answer = await client.callTool({ name: "echo", arguments: { message: "hello" } });
    expect(answer.content).toEqual([{ type: "text", text: "Echo: hello" }]);
    await client.close();
    await page.getByText("Your client connected.").waitFor();
    await judge("connected");

    await page.getByRole("link", { name: "Done: I have the token" }).click();
    await page.getByRole("heading", { name: "Review of the draft" }).waitFor();
    expect(await page.content()).not.toContain(token);
    await page.getByText("Ready").or(page.getByText("Idle")).first().waitFor();
    await page.getByRole("log").getByText("Starting").first().waitFor();
    await judge("instance");
    await page.getByRole("button", { name: "Renew" }).click();
    await page.getByLabel("Minutes from now").fill("120");
    await judge("renew");
    await page.getByRole("dialog").getByRole("button", { name: "Renew" }).click();
    await page
      .getByRole("timer")
      .filter({ hasText: /^(2 h 00|1 h 59) min$/ })
      .waitFor();
    await echo({ endpoint, token });
    await page.getByRole("link", { name: "All instances" }).click();
    await page.getByRole("link", { name: "Review of the draft" }).waitFor();
    await page.getByRole("img", { name: "Calls by day" }).waitFor();
    await judge("home");

    await page.getByRole("link", { name: "Review of the draft" }).click();
    await page.getByRole("button", { name: "Revoke" }).click();
    await page.getByRole("dialog").waitFor();
    await judge("revoke");
    await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
    await page.getByRole("heading", { name: "Receipt" }).waitFor();
    await page.getByText("Revoked").waitFor();
    await judge("receipt");
    await page.getByRole("row", { name: "echo 2" }).waitFor();
    await expect(echo({ endpoint, token })).rejects.toThrow("401");
    await page.getByRole("link", { name: "All instances" }).click();
    await page.getByRole("link", { name: "Over", exact: true }).click();
    await page.getByRole("link", { name: "Review of the draft" }).waitFor();
    await judge("home-over");
    expect(complaints).toEqual([]);
  });

  test("the first page brings less than 200 kB of JavaScript, for who signs in and for who is", async () => {
    const { id } = await createInstance(product, owner);
    const kilobytes: Record<string, number> = {};
    const weigh = async (path: string) => {
      await page.goto(path, { waitUntil: "load" });
      if (path === "/") await page.getByRole("img", { name: "Calls by day" }).waitFor();
      const names = await page.evaluate("performance.getEntriesByType('resource').map(({ name }) => name)");
      const scripts = (names as string[]).filter((name) => name.endsWith(".js"));
      const bodies = await Promise.all(scripts.map(async (url) => (await fetch(url)).arrayBuffer()));
      const bytes = bodies.reduce((sum, body) => sum + gzipSync(body).length, 0);
      kilobytes[path.replace(id, "[id]")] = Math.round(bytes / 100) / 10;
    };
    await weigh("/sign-in");
    await signIn();
    for (const path of ["/", "/instances/new", `/instances/${id}`, "/keys"]) await weigh(path);
    await mutate(product.api.url, "mcp.revoke", { id }, { token: owner.token });
    await mkdir(picturesFolder, { recursive: true });
    await writeFile(join(picturesFolder, "javascript-kilobytes.json"), JSON.stringify(kilobytes));
    for (const [path, size] of Object.entries(kilobytes)) {
      expect(size, path).toBeGreaterThan(20);
      expect(size, path).toBeLessThan(200);
    }
  });

  test("keys are added, shown without their secret, and deleted after a question", async () => {
    await signIn();
    await page.getByRole("link", { name: "Keys" }).click();
    await page.getByText("You have no keys yet").waitFor();
    await page.getByLabel("Label").fill("Work");
    await page.getByLabel("Key", { exact: true }).fill("ghp_0123456789abcdefghij");
    await page.getByRole("button", { name: "Add key" }).click();
    await page.getByText("ends in ghij").waitFor();
    await judge("keys");
    expect(await page.content()).not.toContain("ghp_0123456789");
    await page.getByRole("button", { name: "Delete Work" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await page.getByText("You have no keys yet").waitFor();
    expect(complaints).toEqual([]);
  });

  test("what somebody wrote to harm is text in every page", async () => {
    const { token } = owner;
    const create = async (path: string, input: object) =>
      (await mutate(product.api.url, path, input, { token })).data;
    let id = "";
    for (const label of hostileTexts) {
      const created = await create("mcp.create", { type: "everything", expirationMinutes: 5, label });
      await create("apiKey.create", { provider: "github", label, secret: "ghp_0123456789abcdef" });
      id = created.instance.id;
    }
    await signIn();
    for (const path of ["/", "/keys", `/instances/${id}`]) {
      await page.goto(path);
      for (const text of path.includes(id) ? hostileTexts.slice(-1) : hostileTexts) {
        await page.getByText(text, { exact: true }).first().waitFor();
      }
      await page.waitForLoadState("load");
      expect(await page.evaluate("window.ran"), path).toBeUndefined();
    }
    expect(complaints).toEqual([]);
  });

  test("an open page says that the server is away, and goes on by itself and signed in when it is back", async () => {
    const sessionSecret = "5e".repeat(32);
    const { port } = new URL(dashboard.url);
    const restart = async () => {
      await dashboard[Symbol.asyncDispose]();
      dashboard = await startDashboard({ apiUrl: product.api.url, port: Number(port), sessionSecret });
    };
    await restart();
    await signIn();
    await dashboard[Symbol.asyncDispose]();
    await page.getByText("The connection to the dashboard is lost").waitFor();
    await restart();
    await page.getByText("The connection to the dashboard is lost").waitFor({ state: "detached" });
    expect(new URL(page.url()).pathname).toBe("/");
  });

  test("a person with a keyboard alone signs in, creates an instance and revokes it", async () => {
    await page.goto("/sign-in");
    await focusByTab("E-mail");
    await page.keyboard.type(owner.email);
    await focusByTab("Password");
    await page.keyboard.type(password);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Instances", level: 1 }).waitFor();
    await page.keyboard.press("Tab");
    expect(await focused()).toBe("Skip to the content");
    await focusByTab("New instance");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "New instance" }).waitFor();
    await focusByTab("Create instance");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Connect your client" }).waitFor();
    await focusByTab("Claude Code");
    await page.keyboard.press("ArrowRight");
    await page.getByText("mcp-remote").waitFor();
    await focusByTab("Done: I have the token");
    await page.keyboard.press("Enter");
    await focusByTab("Revoke");
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    expect(await focused()).toBe("Cancel");
    await page.keyboard.press("Escape");
    expect(await focused()).toBe("Revoke");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Receipt" }).waitFor();
    expect(complaints).toEqual([]);
  });

  /** The words of what has the focus: its label's, or its own. */
  async function focused(): Promise<unknown> {
    return await page.evaluate(
      "(document.activeElement.labels?.[0] ?? document.activeElement).textContent.trim()",
    );
  }

  async function focusByTab(words: string): Promise<void> {
    for (let presses = 0; presses < 40; presses++) {
      if ((await focused()) === words) return;
      await page.keyboard.press("Tab");
    }
    throw new Error(`The keyboard does not reach ${words}.`);
  }
});
