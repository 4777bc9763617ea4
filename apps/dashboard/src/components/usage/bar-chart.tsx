"use client";

import { scaleBand, scaleLinear } from "@visx/scale";
import { Bar } from "@visx/shape";

const width = 360;
const height = 80;
/** A day without any is seen to be one. */
const baseline = 1;

export interface BarChartProps {
  /** What is counted. */
  name: string;
  values: readonly { /** `2026-03-31` */ day: string; value: number }[];
}

/** A bar for each day. The numbers are also in a table, so here they are one picture. */
export function BarChart({ name, values }: BarChartProps) {
  const most = Math.max(1, ...values.map(({ value }) => value));
  const x = scaleBand({ domain: values.map(({ day }) => day), range: [0, width], padding: 0.2 });
  const y = scaleLinear({ domain: [0, most], range: [height - baseline, 0] });
  return (
    <svg
      role="img"
      aria-label={`${name} by day, at most ${most} on one`}
      viewBox={`0 0 ${width} ${height}`}
      className="h-auto w-full"
    >
      {values.map(({ day, value }) => (
        <Bar
          key={day}
          x={x(day) ?? 0}
          y={y(value)}
          width={x.bandwidth()}
          height={height - y(value)}
          className={value === 0 ? "fill-line" : "fill-accent"}
        />
      ))}
    </svg>
  );
}
