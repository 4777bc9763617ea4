import Link from "next/link";

import type { Problem } from "../problem.ts";
import { buttonStyle } from "./ui/button.tsx";
import { ProblemAlert } from "./problem-alert.tsx";

/** In place of a page that could not be read. */
export function ProblemPage({ problem, retryPath }: { problem: Problem; retryPath: string }) {
  return (
    <div className="mx-auto grid max-w-xl gap-4 py-10">
      <h1 className="text-xl font-semibold">
        {problem.remedy === "wait" ? "MiniMCP does not answer" : "This did not work"}
      </h1>
      <ProblemAlert problem={problem} />
      <div className="flex flex-wrap gap-3">
        {/* A whole new page: what failed is asked for again. */}
        <a href={retryPath} className={buttonStyle({ look: "primary" })}>
          Try again
        </a>
        <Link href="/" className={buttonStyle()}>
          All instances
        </Link>
      </div>
    </div>
  );
}
