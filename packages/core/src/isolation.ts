import { z } from "zod";

/** How well a child is cut off from its host. See docs/architecture.md, "Isolation". */
export const isolationLevels = ["strict", "contained", "hardened", "none"] as const;
export type IsolationLevel = (typeof isolationLevels)[number];

/** What was probed on the node, and so what an instance there really has. */
export interface IsolationView {
  level: IsolationLevel;
  parts: Record<string, boolean | string>;
}

const Attestation: z.ZodType<IsolationView> = z.object({
  level: z.enum(isolationLevels),
  parts: z.record(z.string(), z.union([z.boolean(), z.string()])),
});

/** The view of a stored attestation; null where nothing has been attested yet. */
export function viewIsolation(stored: unknown): IsolationView | null {
  return stored === null ? null : Attestation.parse(stored);
}
