import type { ReceiptView } from "@minimcp/client";

import { Facts } from "../facts.tsx";
import { formatBytes } from "../format-bytes.ts";
import { Card } from "../ui/card.tsx";

/** What an instance was allowed, and what it did. */
export function Receipt({ receipt }: { receipt: ReceiptView }) {
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
      <Hosts receipt={receipt} />
    </Card>
  );
}

/** Granted against used, the used ones first. */
function Tools({ receipt: { granted, used } }: { receipt: ReceiptView }) {
  const isGranted = new Set(granted.tools);
  const calls = new Map(used.tools.map((tool) => [tool.name, tool.calls]));
  const unused = granted.tools.filter((name) => !calls.has(name));
  return (
    <Compared
      summary={`${granted.tools.length - unused.length} of ${granted.tools.length} granted tools were used`}
      columns={["Tool", "Calls"]}
      rows={[...calls.keys(), ...unused].map((name) => ({
        name,
        note: isGranted.has(name) ? null : "not one of its type",
        isUsed: calls.has(name),
        cells: [String(calls.get(name) ?? 0)],
      }))}
    />
  );
}

function Hosts({ receipt: { granted, used } }: { receipt: ReceiptView }) {
  if (granted.hosts.length === 0 && used.hosts.length === 0) {
    return <p className="text-muted text-sm">It was granted no host, and reached none.</p>;
  }
  const isGranted = new Set(granted.hosts);
  const uses = new Map(used.hosts.map((use) => [use.host, use]));
  const unused = granted.hosts.filter((host) => !uses.has(host));
  return (
    <Compared
      summary={`${granted.hosts.length - unused.length} of ${granted.hosts.length} granted hosts were asked`}
      columns={["Host", "Requests", "Refused", "Sent", "Received"]}
      rows={[...uses.keys(), ...unused].map((host) => {
        const { requests, denied, bytesOut, bytesIn } = uses.get(host) ?? unasked;
        return {
          name: host,
          note: isGranted.has(host) ? null : "not granted",
          isUsed: uses.has(host),
          cells: [String(requests), String(denied), formatBytes(bytesOut), formatBytes(bytesIn)],
        };
      })}
    />
  );
}

const unasked = { requests: 0, denied: 0, bytesOut: 0, bytesIn: 0 };

interface ComparedProps {
  summary: string;
  columns: readonly string[];
  rows: readonly { name: string; note: string | null; isUsed: boolean; cells: readonly string[] }[];
}

function Compared({ summary, columns: [first, ...others], rows }: ComparedProps) {
  return (
    <details className="text-sm" open>
      <summary className="w-fit font-medium">{summary}</summary>
      {/* It scrolls where it is too wide, so the keyboard must reach it. */}
      <div role="region" aria-label={summary} tabIndex={0} className="mt-3 overflow-x-auto">
        <table className="w-full">
          <thead className="text-muted text-left text-xs">
            <tr>
              <th scope="col" className="pb-1 font-normal">
                {first}
              </th>
              {others.map((column) => (
                <th key={column} scope="col" className="pb-1 pl-4 text-right font-normal">
                  {column}
                </th>
              ))}
            </tr>
          </thead>
          <tbody className="divide-line divide-y">
            {rows.map(({ name, note, isUsed, cells }) => (
              <tr key={name} className={isUsed ? "" : "text-muted"}>
                <th scope="row" className="py-1.5 text-left font-normal">
                  <code className="font-mono text-xs wrap-anywhere">{name}</code>
                  {note !== null && <span className="text-warn text-xs"> {note}</span>}
                </th>
                {cells.map((cell, index) => (
                  <td key={others[index]} className="py-1.5 pl-4 text-right whitespace-nowrap tabular-nums">
                    {cell}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
