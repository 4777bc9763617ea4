import { Command } from "commander";

import { runScript } from "./support/run-script.ts";

const command = new Command("usage-report")
  .description("Who used what: instances, minutes, calls and denials of the last days, by user and type.")
  .option("--days <number>", "how far back", Number, 7)
  .option("--json", "print JSON");

await runScript(command, async ({ asProduct, print }) => {
  const { days, json } = command.opts<{ days: number; json?: true }>();
  const report = await asProduct.admin.instances.usage({ days });
  if (json) {
    print(`${JSON.stringify(report)}\n`);
    return;
  }
  print(`Instances that were created in the last ${report.days} days\n`);
  for (const { email, type, instances, minutes, calls, denials, failures } of report.items) {
    print(
      `${email}  ${type}  ${instances} instances, ${minutes} minutes, ${calls} calls, ${denials} denied, ${failures} unanswered\n`,
    );
  }
  if (report.items.length === 0) print("None.\n");
});
