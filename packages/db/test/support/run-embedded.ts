// A supervisor of its own, to be killed: starts the embedded server, says so on standard output, and stops it in order
// when its standard input ends.
import { once } from "node:events";

import { startEmbeddedPostgres } from "../../src/index.ts";
import { parseOptions } from "./supervisor.ts";

const server = await startEmbeddedPostgres({
  ...parseOptions(process.argv[2]),
  log: (message) => process.stdout.write(`${JSON.stringify({ log: message })}\n`),
});
process.stdout.write(
  `${JSON.stringify({ ready: { ownerUrl: server.ownerUrl(), dataDirectory: server.dataDirectory, created: server.created } })}\n`,
);
await once(process.stdin.resume(), "end");
await server.stop();
