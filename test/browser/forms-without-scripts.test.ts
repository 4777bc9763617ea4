import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Browser, Request } from "playwright-core";

import { hasChromium, type RunningDashboard, startChromium, startDashboard } from "../support/dashboard.ts";

/*
 * The attack: none is needed. Somebody is quicker than the scripts of a page, or these did not arrive; a form is then sent
 * by the browser itself, and what is in its address stays in the history and in the log of every proxy.
 */

describe.runIf(hasChromium())("a form that the browser sends by itself", () => {
  let dashboard: RunningDashboard;
  let browser: Browser;

  beforeAll(async () => {
    // Nothing of these pages asks the API.
    dashboard = await startDashboard({ apiUrl: "http://127.0.0.1:1" });
    browser = await startChromium();
  });

  afterAll(async () => {
    await browser.close();
    await dashboard[Symbol.asyncDispose]();
  });

  test.each(["/sign-in", "/set-up", "/join"])("puts no password into an address: %s", async (path) => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await context.newPage();
    await page.goto(`${dashboard.url}${path}`);
    await page.getByLabel("E-mail").fill("ada@example.com");
    await page.getByLabel("Password").fill("four unrelated words");
    const [request] = await Promise.all([
      page.waitForEvent("request", (sent: Request) => sent.isNavigationRequest()),
      page.getByLabel("Password").press("Enter"),
    ]);
    expect(request.method()).toBe("POST");
    expect(request.url()).toBe(`${dashboard.url}${path}`);
    await page.getByLabel("Password").waitFor();
    expect(dashboard.output()).not.toContain("unrelated");
    await context.close();
  });
});
