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
  const { headers, statusCode: status = 0 } = response;
  if (headers["content-type"] !== "text/event-stream") return { status, headers, body: await text(response) };
  const body = await readFirstEvent(response);
  // The status of a refusal that comes as an event is inside it.
  const refused = /"httpStatus":(\d{3})/.exec(body)?.[1];
  return { status: refused === undefined ? status : Number(refused), headers, body };
}

/** A stream goes on for as long as it is read; it says what becomes of it in what follows the greeting. */
async function readFirstEvent(response: http.IncomingMessage): Promise<string> {
  let read = "";
  for await (const chunk of response.setEncoding("utf8")) {
    read += chunk;
    if (/\n\n+[^\n][^]*\n\n/.test(read)) break;
  }
  return read;
}
