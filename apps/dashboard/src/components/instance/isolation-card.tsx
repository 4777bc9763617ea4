import type { IsolationLevel, IsolationView } from "@minimcp/client";

import { Card } from "../ui/card.tsx";

const meanings: Record<IsolationLevel, string> = {
  strict: "Namespaces, a filter on system calls, limits, and a user of its own.",
  contained: "Namespaces, a filter on system calls and limits; it shares the worker's user.",
  hardened: "A user of its own, limits and Node's permission model; no namespaces on this host.",
  none: "A clean environment only. Do not run code here that you do not trust.",
};

const partNames: Record<string, string> = {
  namespaces: "Namespaces",
  seccomp: "System call filter",
  noNewPrivileges: "No new privileges",
  ownUid: "User of its own",
  limits: "Limits",
  nodePermission: "Node's permission model",
  network: "Network",
  cgroup: "Control group",
};

/** Whether what was measured keeps something out: no network does, the host's does not, and no control group neither. */
function protects(name: string, value: boolean | string): boolean {
  return name === "network" ? value === "none" : value !== false && value !== "none";
}

/** What really cuts it off from its host, as it was measured there. */
export function IsolationCard({ isolation }: { isolation: IsolationView | null }) {
  return (
    <Card aria-labelledby="isolation-heading" className="grid gap-4">
      <div>
        <h2 id="isolation-heading" className="font-semibold">
          Isolation{isolation && `: ${isolation.level}`}
        </h2>
        <p className="text-muted mt-1 text-sm">
          {isolation === null ? "Measured when it first runs." : meanings[isolation.level]}
        </p>
      </div>
      {isolation !== null && (
        <ul className="grid gap-x-12 gap-y-2 text-sm sm:grid-cols-2">
          {Object.entries(isolation.parts).map(([name, value]) => (
            <li key={name} className="flex items-center justify-between gap-3">
              <span>{partNames[name] ?? name}</span>
              <span className={protects(name, value) ? "text-good font-medium" : "text-muted"}>
                {value === true ? "yes" : value === false ? "no" : value}
              </span>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}
