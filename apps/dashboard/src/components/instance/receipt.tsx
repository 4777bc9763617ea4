import type { ReceiptView } from "@minimcp/client";

import { Facts } from "../facts.tsx";
import { formatBytes } from "../format-bytes.ts";
import { Card } from "../ui/card.tsx";

/** What an instance was allowed, and what it did. */
export function Receipt({ receipt }: { receipt: ReceiptView }) {
  const { granted } = receipt;
  return (
    <Card aria-labelledby="receipt-heading" className="grid gap-5">
      <div>
        <h2 id="receipt-heading" className="font-semibold">
          Receipt
        </h2>
        <p className="text-muted mt-1 text-sm">
          {receipt.final
            ? "What it was allowed, and what it did."
            : "The last counts are still on their way."}
          {receipt.incomplete && " A worker died while it ran: up to a second of counts may be missing."}
        </p>
      </div>
      <Facts
        facts={[
          { name: "Calls", value: receipt.calls },
          { name: "Refused", value: receipt.denials },
          { name: "Not answered", value: receipt.failures },
          {
            name: "In / out",
            value: `${formatBytes(receipt.requestBytes)} / ${formatBytes(receipt.responseBytes)}`,
          },
        ]}
      />
      <Tools receipt={receipt} />
      <div className="text-sm">
        <h3 className="text-muted text-xs">Hosts it was allowed to reach</h3>
        <p className="mt-1 wrap-anywhere">
          {granted.hosts.length === 0 ? "None: it had no network." : granted.hosts.join(", ")}
        </p>
      </div>
    </Card>
  );
}

/** Granted against used, the used ones first. */
function Tools({ receipt: { granted, used } }: { receipt: ReceiptView }) {
  const isGranted = new Set(granted.tools);
  const calls = new Map(used.tools.map((tool) => [tool.name, tool.calls]));
  const idle = granted.tools.filter((name) => !calls.has(name));
  const usedOfGranted = granted.tools.length - idle.length;
  return (
    <details className="text-sm" open>
      <summary className="w-fit font-medium">
        {usedOfGranted} of {granted.tools.length} granted tools were used
      </summary>
      <table className="mt-3 w-full">
        <thead className="text-muted text-left text-xs">
          <tr>
            <th className="pb-1 font-normal">Tool</th>
            <th className="pb-1 text-right font-normal">Calls</th>
          </tr>
        </thead>
        <tbody className="divide-line divide-y">
          {[...calls.keys(), ...idle].map((name) => (
            <tr key={name} className={calls.has(name) ? "" : "text-muted"}>
              <td className="py-1.5 pr-4">
                <code className="font-mono text-xs wrap-anywhere">{name}</code>
                {!isGranted.has(name) && <span className="text-warn ml-2 text-xs">not one of its type</span>}
              </td>
              <td className="py-1.5 text-right tabular-nums">{calls.get(name) ?? 0}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}
