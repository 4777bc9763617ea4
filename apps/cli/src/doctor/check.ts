import type { Connection } from "../account/connect.ts";
import type { ServerConfig } from "../env.ts";
import type { Home } from "../supervisor/home.ts";
import type { ProductStatus } from "../supervisor/product-status.ts";

/** What the checks look at. */
export interface Patient {
  /** The configuration, or everything that is wrong with it. */
  config: ServerConfig | { problems: readonly string[] };
  home: Home;
  /** What runs in the home; undefined when nothing does. */
  running: ProductStatus | undefined;
  /** The server that commands talk to. */
  connection: Connection;
}

export interface Finding {
  status: "pass" | "fail" | "skip";
  /** What was seen. */
  evidence: string;
  /** What to do about it; on a pass, what would be better still. */
  remedy?: string;
}

export interface Check {
  id: string;
  look(patient: Patient): Promise<Finding> | Finding;
}

export const pass = (evidence: string, remedy?: string): Finding => ({
  status: "pass",
  evidence,
  ...(remedy === undefined ? {} : { remedy }),
});
export const fail = (evidence: string, remedy: string): Finding => ({ status: "fail", evidence, remedy });
export const skip = (evidence: string): Finding => ({ status: "skip", evidence });
