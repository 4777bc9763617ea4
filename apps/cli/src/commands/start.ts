import type { Command } from "commander";

import { ownCommand } from "../own-command.ts";
import { note, print } from "../terminal.ts";

export function addStart(program: Command): void {
  program
    .command("start")
    .description("run the product: database, API, worker and dashboard, until Ctrl-C")
    .option("--no-dashboard", "leave the dashboard out: it is neither built nor started")
    .option("--json", "print the line that tells when everything is ready as one JSON object")
    .addHelpText(
      "after",
      `
Creates what is missing in its home (secrets, database) and keeps everything running. It stays in the foreground;
Ctrl-C stops it in order, a second Ctrl-C kills its processes. It is configured by environment variables, see
docs/configuration.md.

Examples:
  $ npm start
  $ API_PORT=6000 GATEWAY_PORT=6001 npm start`,
    )
    .action(async (options: { json?: boolean; dashboard: boolean }) => {
      const [{ takeServerConfig }, { runProduct }] = await Promise.all([
        import("../env.ts"),
        import("../supervisor/run-product.ts"),
      ]);
      const config = takeServerConfig(options.dashboard ? {} : { DASHBOARD: "off" });
      const stop = new AbortController();
      const insist = new AbortController();
      const onSignal = () => {
        // The first asks, the second insists.
        if (stop.signal.aborted) insist.abort();
        stop.abort();
      };
      for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, onSignal);
      await runProduct({
        config,
        report: note,
        onReady(status, { isInhabited, setUpUrl }) {
          const nextStep = isInhabited ? null : ownCommand("admin create --email you@example.com");
          if (options.json) {
            // One line, whoever reads it.
            print(JSON.stringify({ kind: "ready", ...status, nextStep, setUpUrl }));
            return;
          }
          const { api, gateway, dashboard, isolation } = status;
          const parts = [
            `api ${api.url}`,
            `gateway ${gateway.url}`,
            ...(dashboard === null ? [] : [`dashboard ${dashboard.url}`]),
            `isolation ${isolation?.level ?? "unknown"}`,
          ];
          print(`ready: ${parts.join(" ")}`);
          for (const advice of isolation?.advice ?? []) print(`to raise the isolation: ${advice}`);
          if (setUpUrl !== null) {
            print(
              `next: make the first administrator's account, with this link, which works once: ${setUpUrl}`,
            );
          } else if (nextStep !== null) {
            print(`next: create the first administrator, in another terminal: ${nextStep}`);
          }
        },
        signal: stop.signal,
        insist: insist.signal,
      });
      note("stopped");
    });
}
