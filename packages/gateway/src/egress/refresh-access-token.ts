import { Agent, request } from "undici";

import { createDialer } from "./dialer.ts";
import { defaultEgressLimits } from "./limits.ts";
import type { AccessToken, BrokerOptions } from "./options.ts";

export interface RefreshGrant {
  /** Such as `https://oauth2.googleapis.com/token`. */
  endpoint: string;
  clientId: string;
  clientSecret: string;
  refreshToken: string;
}

/** A token answer is a few hundred bytes. */
const answerLimitBytes = 64 * 1024;

/**
 * Gets an access token for a refresh token (RFC 6749 section 6), over the broker's own dialer: public addresses only,
 * certificate verified, no redirect followed. It is what a broker's `readToken` calls.
 *
 * @throws Error in words, without anything of the request or the answer
 */
export async function refreshAccessToken(
  grant: RefreshGrant,
  options: Pick<BrokerOptions, "resolve" | "loopbackUpstreams" | "now"> & { signal: AbortSignal },
): Promise<AccessToken> {
  const { origin, pathname, protocol } = new URL(grant.endpoint);
  if (protocol !== "https:") throw new TypeError("a token endpoint must be an https address");
  const agent = new Agent({ connect: createDialer(options, defaultEgressLimits), allowH2: false });
  try {
    const { statusCode, body } = await request(origin + pathname, {
      dispatcher: agent,
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded", accept: "application/json" },
      body: new URLSearchParams({
        grant_type: "refresh_token",
        client_id: grant.clientId,
        client_secret: grant.clientSecret,
        refresh_token: grant.refreshToken,
      }).toString(),
      signal: options.signal,
    });
    const answer = parseAnswer(await readUpTo(answerLimitBytes, body));
    if (statusCode === 400 && answer["error"] === "invalid_grant")
      throw new Error("the refresh token is no longer valid: connect the account again");
    const { access_token: token, token_type: type, expires_in: seconds } = answer;
    if (statusCode !== 200 || typeof token !== "string" || String(type).toLowerCase() !== "bearer")
      throw new Error(`the token endpoint answered ${statusCode} without a bearer token`);
    const now = options.now ?? Date.now;
    return {
      token: Buffer.from(token),
      expiresAt: typeof seconds === "number" && seconds > 0 ? now() + seconds * 1_000 : null,
    };
  } finally {
    await agent.destroy();
  }
}

async function readUpTo(limitBytes: number, body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > limitBytes) throw new Error("the token endpoint's answer is too long");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function parseAnswer(text: string): Record<string, unknown> {
  try {
    const answer: unknown = JSON.parse(text);
    if (typeof answer === "object" && answer !== null) return answer as Record<string, unknown>;
  } catch {
    // The parser's own message quotes the answer.
  }
  return {};
}
