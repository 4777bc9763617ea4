import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { root } from "./consumer.ts";

/** Where the recipe's page expects its API. */
const addressInRecipe = "https://minimcp.example.com";

/**
 * The files that docs/sdk-react.md writes down, by the path in their first line.
 * @param url the API that the page calls in place of the one in the recipe
 */
export async function readReactRecipe(url: string): Promise<Map<string, string>> {
  const page = await readFile(join(root, "docs/sdk-react.md"), "utf8");
  const blocks = [...page.matchAll(/^```tsx\n\/\/ (\S+)\n([^]*?)^```$/gm)];
  return new Map(blocks.map(([, path = "", code = ""]) => [path, code.replaceAll(addressInRecipe, url)]));
}
