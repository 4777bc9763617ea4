import { isolationLevels, readDatabaseTls } from "@minimcp/core";
import { buildDatabaseUrl, readSchemaState } from "@minimcp/db";

import { describeError } from "../failure.ts";
import { databaseUrlOf } from "../supervisor/product-database.ts";
import { type Check, fail, type Finding, pass, type Patient, skip } from "./check.ts";
import { probeIsolation } from "./probe-isolation.ts";

const notRunning = "nothing runs in this home";

export const checkDatabase: Check = {
  id: "database.schema",
  async look({ config, home, running }) {
    if ("problems" in config) return skip("the configuration cannot be used");
    const { settings } = config;
    const address = running?.database.address ?? null;
    const owner =
      settings.DATABASE_URL ??
      (address && buildDatabaseUrl({ ...address, user: "minimcp_owner", password: undefined }));
    if (owner === null) return skip(`${notRunning}, and the database with it`);
    try {
      const url = await databaseUrlOf("api", settings, home, owner);
      const schema = await readSchemaState({
        url,
        tls: readDatabaseTls(settings),
        applicationName: "minimcp doctor",
      });
      if (schema.status === "current") return pass(`reachable, at migration ${schema.current}`);
      return fail(schema.explanation, "follow this sentence");
    } catch (error) {
      return fail(
        describeError(error),
        "see that the database runs; the embedded one's log is server.log beside its data",
      );
    }
  },
};

export const checkWorker: Check = {
  id: "worker.alive",
  look({ running, home }) {
    if (running === undefined) return skip(notRunning);
    const { state, restarts } = running.gateway;
    const evidence = `${state}, started again ${restarts} times`;
    return state === "ready" ? pass(evidence) : fail(evidence, `see ${home.logs}/worker.log`);
  },
};

export const checkLogs: Check = {
  id: "logs.written",
  look({ running, home }) {
    if (running === undefined) return skip(notRunning);
    const { api, gateway, dashboard } = running;
    const troubled = Object.entries({ api, gateway, dashboard }).filter(([, part]) => part?.logTrouble);
    if (troubled.length === 0) return pass(`in ${home.logs}`);
    const evidence = troubled.map(([name, part]) => `${name}: ${part?.logTrouble}`).join(", ");
    return fail(evidence, `make room on the disk of ${home.logs}; they go on by themselves then`);
  },
};

export const checkIsolation: Check = {
  id: "isolation.level",
  async look({ config, running, home }) {
    if ("problems" in config) return skip("the configuration cannot be used");
    try {
      const isolation = running?.isolation ?? (await probeIsolation(config, home));
      const { MINIMUM_ISOLATION, MINIMCP_MODE } = config.settings;
      const minimum = MINIMUM_ISOLATION ?? (MINIMCP_MODE === "production" ? "strict" : "none");
      const isEnough = isolationLevels.indexOf(isolation.level) <= isolationLevels.indexOf(minimum);
      const remedy = isolation.advice.join("; ");
      if (!isEnough) return fail(`${isolation.level}, below the minimum ${minimum}`, remedy);
      return pass(isolation.level, remedy === "" ? undefined : remedy);
    } catch (error) {
      return fail(describeError(error), "see what the sentence names");
    }
  },
};

export const checkApiHealth: Check = {
  id: "api.health",
  look: (patient) => lookAtHealth(patient, "api"),
};

export const checkGatewayHealth: Check = {
  id: "gateway.health",
  look: (patient) => lookAtHealth(patient, "gateway"),
};

export const checkDashboardHealth: Check = {
  id: "dashboard.health",
  look: (patient) => lookAtHealth(patient, "dashboard"),
};

const health = {
  api: { path: "/readyz", log: "api.log" },
  gateway: { path: "/readyz", log: "worker.log" },
  dashboard: { path: "/sign-in", log: "dashboard.log" },
};

async function lookAtHealth({ running, home }: Patient, part: keyof typeof health): Promise<Finding> {
  if (running === undefined) return skip(notRunning);
  const place = running[part];
  if (place === null) return pass("left out, as it was started");
  const url = `${place.url}${health[part].path}`;
  const log = `${home.logs}/${health[part].log}`;
  try {
    const { status } = await fetch(url, { signal: AbortSignal.timeout(5_000) });
    return status === 200 ? pass(`${url} answers 200`) : fail(`${url} answers ${status}`, `see ${log}`);
  } catch (error) {
    return fail(`${url}: ${describeError(error)}`, `see ${log}`);
  }
}
