import type { DailyUsageView } from "@minimcp/client";

import { Card } from "../ui/card.tsx";
import { UsageChart } from "./usage-chart.tsx";

const measures = [
  { name: "Instances", of: ({ instances }: DailyUsageView) => instances },
  { name: "Calls", of: ({ calls }: DailyUsageView) => calls },
];

/** What somebody made of the last days: as a picture, and in numbers for who does not see it. */
export function Usage({ days }: { days: DailyUsageView[] }) {
  if (days.every(({ instances }) => instances === 0)) return null;
  return (
    <section aria-labelledby="usage-heading" className="grid grid-cols-[minmax(0,1fr)] gap-3">
      <h2 id="usage-heading" className="text-muted text-sm font-medium">
        Last {days.length} days
      </h2>
      <div className="grid gap-3 sm:grid-cols-2">
        {measures.map(({ name, of }) => (
          <Card key={name} className="grid grid-cols-[minmax(0,1fr)] gap-2 p-4 sm:p-5">
            <p className="flex items-baseline justify-between gap-3 text-sm">
              <span>{name}</span>
              <span className="font-semibold tabular-nums">
                {days.reduce((sum, day) => sum + of(day), 0).toLocaleString("en")}
              </span>
            </p>
            <UsageChart name={name} values={days.map((day) => ({ day: day.day, value: of(day) }))} />
            <p className="text-muted flex justify-between text-xs">
              <span>{days[0]?.day}</span>
              <span>today</span>
            </p>
          </Card>
        ))}
      </div>
      <details className="text-sm">
        <summary className="text-muted hover:text-ink w-fit">As a table</summary>
        <table className="mt-2 w-full max-w-md tabular-nums">
          <caption className="sr-only">Instances created on each day (UTC), and the calls they took</caption>
          <thead className="text-muted text-left text-xs">
            <tr>
              <th scope="col" className="py-1 font-normal">
                Day (UTC)
              </th>
              {measures.map(({ name }) => (
                <th key={name} scope="col" className="py-1 text-right font-normal">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody className="divide-line divide-y">
            {days.toReversed().map((day) => (
              <tr key={day.day}>
                <th scope="row" className="py-1 text-left font-normal">
                  {day.day}
                </th>
                {measures.map(({ name, of }) => (
                  <td key={name} className="py-1 text-right">
                    {of(day)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </details>
    </section>
  );
}
