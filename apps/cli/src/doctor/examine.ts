import { connect, type ServerOptions } from "../account/connect.ts";
import { readHomePath, readServerConfig } from "../env.ts";
import { describeError } from "../failure.ts";
import { readStatus } from "../supervisor/control-client.ts";
import { homeAt } from "../supervisor/home.ts";
import { checkClock, checkSignIn } from "./check-account.ts";
import { checkConfiguration, checkFreePorts, checkHome, checkNode, checkSecrets } from "./check-host.ts";
import {
  checkApiHealth,
  checkDashboardHealth,
  checkDatabase,
  checkGatewayHealth,
  checkIsolation,
  checkLogs,
  checkWorker,
} from "./check-product.ts";
import { type Check, fail, type Finding, type Patient } from "./check.ts";

const checks: readonly Check[] = [
  checkNode,
  checkConfiguration,
  checkHome,
  checkSecrets,
  checkFreePorts,
  checkDatabase,
  checkWorker,
  checkLogs,
  checkIsolation,
  checkApiHealth,
  checkGatewayHealth,
  checkDashboardHealth,
  checkClock,
  checkSignIn,
];

export type NamedFinding = Finding & { id: string };

/** Looks at everything, one thing after the other. Finds out and changes nothing. */
export async function examine(options: ServerOptions): Promise<NamedFinding[]> {
  const home = homeAt(readHomePath());
  const running = await readStatus(home);
  const here = running?.api.url;
  const patient: Patient = {
    config: tryConfig(),
    home,
    running,
    connection: await connect(options.url === undefined && here ? { ...options, url: here } : options),
  };
  const findings: NamedFinding[] = [];
  for (const check of checks) {
    const finding = await Promise.resolve(check.look(patient)).catch((error: unknown) =>
      fail(describeError(error), "this was not foreseen; please report it"),
    );
    findings.push({ id: check.id, ...finding });
  }
  return findings;
}

function tryConfig(): Patient["config"] {
  try {
    return readServerConfig();
  } catch (error) {
    if (error instanceof Error && "problems" in error)
      return { problems: error.problems as readonly string[] };
    throw error;
  }
}
