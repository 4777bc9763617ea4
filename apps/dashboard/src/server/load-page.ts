import "server-only";

import type { MiniMcpClient } from "@minimcp/client";
import { redirect } from "next/navigation";

import type { Problem } from "../problem.ts";
import { connect } from "./connect.ts";
import { toProblem } from "./to-problem.ts";

export type Loaded<T> = { ok: true; value: T } | { ok: false; problem: Problem };

/** Reads what a page shows as whoever is signed in. Nobody is led to the sign-in page. */
export async function loadPage<T>(read: (client: MiniMcpClient) => Promise<T>): Promise<Loaded<T>> {
  const client = await connect();
  if (client === undefined) redirect("/sign-in");
  try {
    return { ok: true, value: await read(client) };
  } catch (error) {
    const problem = toProblem(error);
    if (problem.remedy === "signIn") redirect("/sign-in");
    return { ok: false, problem };
  }
}
