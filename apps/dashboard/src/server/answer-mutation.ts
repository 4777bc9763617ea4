import "server-only";

import type { MiniMcpClient } from "@minimcp/client";
import type { z } from "zod";

import { dashboardConfig } from "../env.ts";
import type { Problem } from "../problem.ts";
import { isFromOwnPage } from "../security/request-origin.ts";
import { connect } from "./connect.ts";
import { signedOut, toProblem } from "./to-problem.ts";

/** Far above what any form sends. */
const longestBody = 64 * 1024;

/**
 * Answers a request that changes something: only from a page of this dashboard, only JSON (a form of a foreign site
 * cannot send it), never from a cache.
 * @param Body the form of the body; its values are the API's to judge
 * @param work what to do; its result is the answer
 */
export async function answerMutation<T>(
  request: Request,
  Body: z.ZodType<T>,
  work: (body: T) => Promise<unknown>,
): Promise<Response> {
  if (!isFromOwnPage(request.headers, dashboardConfig().DASHBOARD_URL)) {
    return refuse(
      403,
      "request.foreign",
      "Only a page of this dashboard may do this. Reload the page and try again.",
    );
  }
  if (request.headers.get("content-type")?.split(";")[0]?.trim() !== "application/json") {
    return refuse(415, "request.notJson", "Send JSON.");
  }
  const text = await request.text();
  if (text.length > longestBody) return refuse(413, "request.tooLarge", "This is too long.");
  const body = Body.safeParse(parseJson(text));
  if (!body.success)
    return refuse(400, "request.invalid", "This is not what the page should send. Reload the page.");
  try {
    return answer(200, await work(body.data));
  } catch (error) {
    const problem = toProblem(error);
    return answer(statusOf(problem), problem);
  }
}

/** The same for what only somebody who is signed in may do. */
export async function answerOwnMutation<T>(
  request: Request,
  Body: z.ZodType<T>,
  work: (client: MiniMcpClient, body: T) => Promise<unknown>,
): Promise<Response> {
  const client = await connect();
  if (client === undefined) return answer(401, signedOut);
  return await answerMutation(request, Body, (body) => work(client, body));
}

function statusOf({ remedy }: Problem): number {
  switch (remedy) {
    case "signIn":
      return 401;
    case "wait":
      return 503;
    case "change":
      return 422;
  }
}

function refuse(status: number, reason: string, message: string): Response {
  const problem: Problem = { reason, message, fields: {}, requestId: null, remedy: "change" };
  return answer(status, problem);
}

function answer(status: number, body: unknown): Response {
  return Response.json(body, { status, headers: { "Cache-Control": "no-store" } });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
