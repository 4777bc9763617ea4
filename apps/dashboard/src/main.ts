import { takeDashboardSettings, WrongConfiguration } from "./env.ts";
import { startDashboard } from "./start-dashboard.ts";

/** EX_CONFIG of sysexits.h: starting again with the same configuration cannot help. */
const exitConfig = 78;

/** Serves until SIGTERM, SIGINT, or until the supervisor is gone; a second signal ends the process at once. */
async function serve(): Promise<void> {
  const stop = Promise.withResolvers<void>();
  let signals = 0;
  const onSignal = (): void => {
    signals += 1;
    if (signals > 1) process.exit(1);
    stop.resolve();
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  process.on("disconnect", () => stop.resolve());

  await using dashboard = await startDashboard(takeDashboardSettings());
  process.send?.({ kind: "ready", url: dashboard.url });
  await stop.promise;
}

try {
  await serve();
  // Next keeps timers of its own; everything that has an owner is closed by now.
  process.exit(0);
} catch (error) {
  const isRefusal = error instanceof WrongConfiguration;
  const said = error instanceof Error ? (isRefusal ? error.message : error.stack) : String(error);
  process.stderr.write(`${said}\n`);
  process.exit(isRefusal ? exitConfig : 1);
}
