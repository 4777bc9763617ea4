import { MiniMcpError } from "./errors.ts";
import { isRecord } from "./is-record.ts";

/** The part of `fetch` that is used. */
export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;

/** An HTTP answer whose body was read to its end and is JSON. */
export class Answer {
  readonly status: number;
  readonly retryAfterSeconds: number | undefined;
  readonly #body: unknown;

  constructor(head: Pick<Answer, "status" | "retryAfterSeconds">, body: unknown) {
    this.status = head.status;
    this.retryAfterSeconds = head.retryAfterSeconds;
    this.#body = body;
  }

  get ok(): boolean {
    return this.status >= 200 && this.status < 300;
  }

  json(): Promise<unknown> {
    return Promise.resolve(this.#body);
  }
}

/**
 * Sends a request and reads the whole answer.
 * @throws MiniMcpError `client.network` (also when aborted) or `client.incompatibleServer`
 */
export async function readAnswer(fetch: Fetch, url: string, init: RequestInit): Promise<Answer> {
  let head: Pick<Answer, "status" | "retryAfterSeconds">;
  let text: string;
  try {
    const response = await fetch(url, init);
    const retryAfterSeconds = parseRetryAfter(response.headers.get("retry-after"));
    head = { status: response.status, retryAfterSeconds };
    text = await response.text();
  } catch (error) {
    throw unreachable(url, error);
  }
  try {
    return new Answer(head, JSON.parse(text));
  } catch (error) {
    throw foreignAnswer(url, head, error);
  }
}

/** The error for an answer that no MiniMCP server gives. */
export function foreignAnswer(
  url: string,
  answer: Pick<Answer, "status" | "retryAfterSeconds">,
  cause?: unknown,
): MiniMcpError {
  const { origin } = new URL(url);
  const { status, retryAfterSeconds } = answer;
  const details = { cause, httpStatus: status, retryAfterSeconds };
  if ([429, 502, 503, 504].includes(status)) {
    return new MiniMcpError(
      "client.network",
      `Something in front of the server at ${origin} answered with HTTP status ${status}. Try again later.`,
      details,
    );
  }
  return new MiniMcpError(
    "client.incompatibleServer",
    `What answers at ${origin} (HTTP status ${status}) is not the API of a MiniMCP server. ` +
      "Check the url: it is the API's public address, http://127.0.0.1:5000 on a machine of your own.",
    details,
  );
}

export function unreachable(url: string, cause: unknown): MiniMcpError {
  const inner = cause instanceof Error && isRecord(cause.cause) ? cause.cause["code"] : undefined;
  const detail = typeof inner === "string" ? ` (${inner})` : "";
  return new MiniMcpError(
    "client.network",
    `The connection to ${new URL(url).origin} failed${detail}. Check the url, and that the server is running.`,
    { cause },
  );
}

/** RFC 9110 section 10.2.3: seconds, or a date. */
function parseRetryAfter(header: string | null): number | undefined {
  if (header === null) return undefined;
  if (/^\d+$/.test(header)) return Number(header);
  const dateMs = Date.parse(header);
  return Number.isNaN(dateMs) ? undefined : Math.max(0, Math.ceil((dateMs - Date.now()) / 1000));
}
