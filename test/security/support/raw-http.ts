import { once } from "node:events";
import http, { type IncomingHttpHeaders } from "node:http";
import { text } from "node:stream/consumers";

export interface RawAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

/** A request with whatever path, host and headers; fetch would correct them. */
export async function send(
  apiUrl: string,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<RawAnswer> {
  const { hostname, port } = new URL(apiUrl);
  const request = http.request({
    hostname,
    port,
    path,
    method: options.method ?? "GET",
    headers: options.headers,
    agent: false,
  });
  request.end(options.body);
  const [response] = (await once(request, "response")) as [http.IncomingMessage];
  return { status: response.statusCode ?? 0, headers: response.headers, body: await text(response) };
}
