import { isReason } from "@minimcp/client";

import { describeError } from "../failure.ts";
import { ownCommand } from "../own-command.ts";
import { type Check, fail, pass, skip } from "./check.ts";

/** Tokens carry times; beyond this, a server's clock and ours give odd refusals. */
const toleratedSkewMs = 30_000;

export const checkClock: Check = {
  id: "clock.skew",
  async look({ connection: { server } }) {
    try {
      const askedAt = Date.now();
      const response = await fetch(`${server}/healthz`, { signal: AbortSignal.timeout(5_000) });
      const date = Date.parse(response.headers.get("date") ?? "");
      if (Number.isNaN(date)) return skip(`${server} does not tell its time`);
      // The server cuts off its milliseconds.
      const skewMs = date + 500 - (askedAt + Date.now()) / 2;
      const skewSeconds = Math.round(Math.abs(skewMs) / 1_000);
      if (skewSeconds === 0) return pass(`${server} has the same time`);
      const evidence = `${server} is ${skewSeconds} s ${skewMs > 0 ? "ahead" : "behind"}`;
      if (Math.abs(skewMs) <= toleratedSkewMs) return pass(evidence);
      return fail(evidence, "set the clocks of both machines, best by NTP");
    } catch {
      return skip(`${server} cannot be reached`);
    }
  },
};

export const checkSignIn: Check = {
  id: "cli.login",
  async look({ connection: { client, credentials, server } }) {
    const email = await credentials.emailAt(server);
    try {
      const { user } = await client.auth.me.query();
      return pass(`signed in at ${server} as ${user.email}`);
    } catch (error) {
      if (isReason(error, "client.network", "client.timeout")) return skip(`${server} cannot be reached`);
      if (isReason(error, "auth.signInRequired")) return skip(`nobody is signed in at ${server}`);
      return fail(
        describeError(error),
        `run: ${ownCommand(`login --url ${server} --email ${email ?? "you@example.com"}`)}`,
      );
    }
  },
};
