import type { IncomingMessage, ServerResponse } from "node:http";

import { Refusal } from "./refusal.ts";

/** A token request is a short form; a longer body is none. */
const bodyLimitBytes = 64 * 1024;

/**
 * Answers a token request (RFC 6749 section 5.1) in the upstream's place: the child's refresh token is a placeholder,
 * and so is the access token that it gets. The real ones are the worker's, and are put in at each call.
 */
export async function answerTokenRequest(
  request: IncomingMessage,
  response: ServerResponse,
  placeholder: string,
): Promise<number> {
  let bytes = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    bytes += (chunk as Buffer).length;
    if (bytes > bodyLimitBytes) throw new Refusal("requestTooLarge");
  }
  const body = JSON.stringify({ access_token: placeholder, token_type: "Bearer", expires_in: 3600 });
  // RFC 6749 section 5.1 asks for both.
  response.writeHead(200, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    pragma: "no-cache",
  });
  response.end(body);
  return 200;
}
