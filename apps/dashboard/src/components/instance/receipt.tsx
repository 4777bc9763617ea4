import type { ReceiptView } from "@minimcp/client";

import { Facts } from "../facts.tsx";
import { Card } from "../ui/card.tsx";

const bytes = new Intl.NumberFormat("en", { style: "unit", unit: "kilobyte", maximumFractionDigits: 1 });

/** What an instance was allowed, and what it did. */
export function Receipt({ receipt }: { receipt: ReceiptView }) {
  const { granted, used } = receipt;
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
            value: `${bytes.format(receipt.requestBytes / 1000)} / ${bytes.format(receipt.responseBytes / 1000)}`,
          },
        ]}
      />
      <div className="grid gap-x-12 gap-y-5 text-sm sm:grid-cols-2">
        <div>
          <h3 className="text-muted text-xs">Used</h3>
          {used.tools.length === 0 ? (
            <p className="mt-1">No tool was called.</p>
          ) : (
            <ul className="mt-1 grid gap-1">
              {used.tools.map(({ name, calls }) => (
                <li key={name} className="flex justify-between gap-4">
                  <code className="font-mono text-xs wrap-anywhere">{name}</code>
                  <span className="tabular-nums">{calls}</span>
                </li>
              ))}
            </ul>
          )}
        </div>
        <div>
          <h3 className="text-muted text-xs">Granted</h3>
          <p className="mt-1">
            {granted.tools.length} tools,{" "}
            {granted.hosts.length === 0 ? "no network" : `hosts ${granted.hosts.join(", ")}`}
          </p>
        </div>
      </div>
    </Card>
  );
}
