/** Node runs this before a server's first line (`NODE_OPTIONS=--require`), in its worker threads and Node children too. */
import { readSandboxEnvironment } from "../env.ts";
import { routeToBroker } from "./route-to-broker.ts";

const { egressSocket } = readSandboxEnvironment();
if (egressSocket !== undefined) routeToBroker(egressSocket);
