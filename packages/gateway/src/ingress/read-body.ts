import type { IncomingMessage } from "node:http";

import { headerValues } from "../raw-headers.ts";
import { problem, Refused } from "./answer.ts";

/**
 * Reads a request body as one buffer. The bytes that arrive are counted, since Content-Length may be missing.
 *
 * @param limitBytes largest body that is accepted
 * @throws Refused when the body is larger; what follows is discarded, so that the client can read the answer
 * @throws Error when the client goes away first
 */
export function readBody(request: IncomingMessage, limitBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const refuse = () => {
      request.off("data", onData);
      request.resume();
      const detail = `The request body is larger than ${limitBytes} bytes. Send less.`;
      reject(new Refused(problem("requestTooLarge", { detail })));
    };
    const onData = (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > limitBytes) return refuse();
      chunks.push(chunk);
    };
    if (Number(headerValues(request.rawHeaders, "content-length")[0] ?? 0) > limitBytes) return refuse();
    request.on("data", onData);
    request.once("end", () => resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)));
    request.once("close", () => {
      if (!request.complete) reject(new Error("the client went away while sending"));
    });
  });
}
