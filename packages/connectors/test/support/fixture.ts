import { fileURLToPath } from "node:url";

/** The stdio server that misbehaves on request. */
export const FIXTURE = fileURLToPath(new URL("../fixtures/stdio-server.ts", import.meta.url));
