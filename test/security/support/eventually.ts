import { until } from "../../support/until.ts";

/**
 * Looks again and again until it is so.
 * @returns after how many milliseconds it was
 * @throws when it is not so after `withinMs`
 */
export async function eventually(withinMs: number, isSo: () => Promise<boolean>): Promise<number> {
  return await until(isSo.toString(), isSo, withinMs);
}
