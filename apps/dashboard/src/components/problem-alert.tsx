import type { Problem } from "../problem.ts";
import { Alert } from "./ui/alert.tsx";

/** Says what went wrong. It is announced when it appears. */
export function ProblemAlert({ problem }: { problem: Problem | null }) {
  return (
    // Empty it takes no place in its grid, and yet is there before it speaks.
    <div role="alert" className="empty:absolute">
      {problem && (
        <Alert tone={problem.remedy === "wait" ? "warn" : "bad"}>
          <p>{problem.message}</p>
          {problem.requestId && <p className="mt-1 text-xs">Request {problem.requestId}</p>}
        </Alert>
      )}
    </div>
  );
}
