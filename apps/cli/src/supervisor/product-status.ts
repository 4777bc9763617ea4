import type { Ready } from "./supervised-process.ts";

/** What `minimcp status` tells. */
export interface ProductStatus {
  /** `recovering`: a part of it ended unexpectedly and is being started again. */
  state: "starting" | "ready" | "recovering" | "stopping";
  pid: number;
  home: string;
  mode: "local" | "production";
  uptimeSeconds: number;
  api: PartStatus;
  gateway: PartStatus;
  /** Null where it was started without. */
  dashboard: PartStatus | null;
  database: Pick<PartStatus, "state" | "restarts"> & {
    kind: "embedded" | "external";
    /** Where it is; null while it starts. Never a password. */
    address: { host: string; port: number; database: string } | null;
  };
  /** Null until the worker has probed the host. */
  isolation: Ready["isolation"] | null;
}

export interface PartStatus {
  state: "starting" | "ready" | "waiting" | "stopping" | "ended";
  pid: number | null;
  restarts: number;
  /** Where clients reach it; null until it has served. */
  url: string | null;
  /** Why its log cannot be written, as the system's code; null while it can. */
  logTrouble: string | null;
}
