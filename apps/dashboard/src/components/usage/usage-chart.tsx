"use client";

import dynamic from "next/dynamic";

/** The library that draws is loaded behind everything else, and in the browser alone: it writes style attributes. */
export const UsageChart = dynamic(async () => (await import("./bar-chart.tsx")).BarChart, {
  ssr: false,
  loading: () => <div className="aspect-[360/80]" />,
});
