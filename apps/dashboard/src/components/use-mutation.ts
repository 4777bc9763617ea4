"use client";

import { useState } from "react";

import type { Problem } from "../problem.ts";
import { sendMutation } from "./send-mutation.ts";

/** One change at a time, with what a form shows of it. */
export function useMutation<T>(method: "POST" | "DELETE") {
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);

  /** @returns the answer; undefined when it failed, and `problem` says how */
  async function send(path: string, body?: object): Promise<T | undefined> {
    setBusy(true);
    setProblem(null);
    const sent = await sendMutation<T>(method, path, body);
    setBusy(false);
    if (sent.ok) return sent.value;
    setProblem(sent.problem);
    return undefined;
  }

  return { isBusy, problem, send };
}
