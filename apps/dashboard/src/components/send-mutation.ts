import type { Problem } from "../problem.ts";

export type Sent<T> = { ok: true; value: T } | { ok: false; problem: Problem };

const offline: Problem = {
  reason: "dashboard.unreachable",
  message:
    "The dashboard does not answer. Check your connection and that MiniMCP is running, then try again.",
  fields: {},
  requestId: null,
  remedy: "wait",
};

/** Sends a change to the dashboard's own server. Who is not signed in any more is led to the sign-in page. */
export async function sendMutation<T>(
  method: "POST" | "DELETE",
  path: string,
  body: object = {},
): Promise<Sent<T>> {
  let status: number;
  let answer: unknown;
  try {
    const response = await fetch(path, {
      method,
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(30_000),
    });
    status = response.status;
    answer = await response.json();
  } catch {
    return { ok: false, problem: offline };
  }
  if (status === 200) return { ok: true, value: answer as T };
  const problem = answer as Problem;
  if (problem.remedy === "signIn") window.location.assign("/sign-in");
  return { ok: false, problem };
}
