// `pnpm bench <name>`: each measurement is a program of its own, never a timed test.
const benches: Record<string, () => Promise<unknown>> = {
  expiry: async () => await import("./expiry.ts"),
  neighbours: async () => await import("./neighbours.ts"),
  sandbox: async () => await import("./sandbox.ts"),
};

const [name = ""] = process.argv.slice(2);
const bench = Object.hasOwn(benches, name) ? benches[name] : undefined;
if (bench === undefined) {
  process.stderr.write(`Unknown measurement "${name}". Known: ${Object.keys(benches).join(", ")}.\n`);
  process.exitCode = 1;
} else await bench();
