import { probeIsolation } from "@minimcp/pool";

import { readProbeConfig } from "./env.ts";
import { openInUsableDirectory } from "./usable-runtime-directory.ts";

// Finds out what isolation this host gives, without a database or anything else of a worker, and prints it as JSON.
const isolation = await openInUsableDirectory(readProbeConfig(), probeIsolation);
process.stdout.write(`${JSON.stringify(isolation)}\n`);
