// Prints `N passed, N failed` over the JSON reports of Vitest that are given as arguments. A file that failed outside
// its tests (it could not be loaded, it leaked) counts as one failed.
import { readFileSync } from "node:fs";
import process from "node:process";

let passed = 0;
let failed = 0;
for (const path of process.argv.slice(2)) {
  const report = JSON.parse(readFileSync(path, "utf8"));
  passed += report.numPassedTests;
  failed += report.numFailedTests;
  for (const file of report.testResults) {
    const inTests = file.assertionResults.some(
      (/** @type {{ status: string }} */ test) => test.status === "failed",
    );
    if (file.status === "failed" && !inTests) failed += 1;
  }
}
process.stdout.write(`${passed} passed, ${failed} failed\n`);
