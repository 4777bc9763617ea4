import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import axe from "axe-core";
import type { Page } from "playwright-core";
import { expect } from "vitest";

/** Where pictures of pages go, for people to look at. */
export const picturesFolder = fileURLToPath(new URL("../output/dashboard", import.meta.url));
const widths = [390, 820, 1440];

/**
 * Takes pictures of a page, and has axe judge it, in both themes.
 * @param name of the pictures
 * @throws when it scrolls sideways, or axe has something to say
 */
export async function judgePage(page: Page, name: string): Promise<void> {
  await mkdir(picturesFolder, { recursive: true });
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    for (const width of widths) {
      await page.setViewportSize({ width, height: 900 });
      const path = join(picturesFolder, `${name}-${width}-${colorScheme}.png`);
      await page.screenshot({ path, fullPage: true });
      const sideways = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth");
      expect(sideways, `${name} at ${width} px scrolls sideways`).toBeLessThanOrEqual(0);
    }
    expect(await findViolations(page), `${name} in ${colorScheme}`).toEqual([]);
  }
}

async function findViolations(page: Page): Promise<unknown> {
  // Through the debugger, where the page's policy has no say.
  await page.evaluate(axe.source);
  return await page.evaluate(
    "axe.run().then(({ violations }) => violations.map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html)]))",
  );
}

/** What the browser complains about from now on: policies that are violated, scripts that fail, files that are missing. */
export function noteComplaints(page: Page): string[] {
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  return complaints;
}
