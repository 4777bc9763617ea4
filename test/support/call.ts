import superjson from "superjson";

export interface CallAnswer {
  status: number;
  headers: Headers;
  /** The procedure's output; undefined when it failed. */
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look at answers of every shape
  data: any;
  /** The error as a client sees it; undefined when it succeeded. */
  error:
    | { message: string; reason: string; issues: { path: unknown[]; message: string }[]; requestId: string }
    | undefined;
  text: string;
}

export interface CallOptions {
  token?: string | undefined;
  headers?: Record<string, string>;
  /** Sent as it is, in place of an encoded input. */
  body?: string;
}

/** A query as any HTTP client would send it. */
export async function query(
  apiUrl: string,
  path: string,
  input?: unknown,
  options: CallOptions = {},
): Promise<CallAnswer> {
  const search = input === undefined ? "" : `?input=${encodeURIComponent(superjson.stringify(input))}`;
  return await read(await fetch(`${apiUrl}/trpc/${path}${search}`, { headers: headersOf(options) }));
}

/** A mutation as any HTTP client would send it. */
export async function mutate(
  apiUrl: string,
  path: string,
  input?: unknown,
  options: CallOptions = {},
): Promise<CallAnswer> {
  const body = options.body ?? (input === undefined ? undefined : superjson.stringify(input));
  return await read(
    await fetch(`${apiUrl}/trpc/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headersOf(options) },
      ...(body === undefined ? {} : { body }),
    }),
  );
}

function headersOf({ token, headers }: CallOptions): Record<string, string> {
  return { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...headers };
}

async function read(response: Response): Promise<CallAnswer> {
  const text = await response.text();
  const answer: CallAnswer = {
    status: response.status,
    headers: response.headers,
    data: undefined,
    error: undefined,
    text,
  };
  if (!response.headers.get("content-type")?.startsWith("application/json")) return answer;
  const parsed = JSON.parse(text);
  if (parsed.error !== undefined) {
    const { message, data } = superjson.deserialize<{ message: string; data: object }>(parsed.error);
    answer.error = { message, ...data } as CallAnswer["error"];
  } else if (parsed.result !== undefined) {
    answer.data = parsed.result.data === undefined ? undefined : superjson.deserialize(parsed.result.data);
  }
  return answer;
}
