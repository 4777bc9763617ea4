import { abortable } from "./abort.ts";
import { isReason } from "./errors.ts";
import type { Call, SendCall } from "./send-call.ts";
import { isRecord } from "./is-record.ts";
import type { Session } from "./session.ts";
import { isTokenPair } from "./token-store.ts";

/** Procedures that need no credential: they must work while the stored one is dead. */
const publicPaths: ReadonlySet<string> = new Set(["auth.signUp", "auth.signIn", "auth.refresh"]);

/**
 * Sends calls with the session's token, once more with the next one when the server refuses it, and takes over the
 * tokens that answers bring.
 */
export function callAs(session: Session, send: SendCall): (call: Call) => Promise<unknown> {
  async function sendWithToken(call: Call): Promise<unknown> {
    const token = await abortable(session.accessToken(), call.signal);
    try {
      return await send(call, token);
    } catch (error) {
      // The second and third are also said of a token from before a change of role or of signing keys.
      if (!isReason(error, "auth.tokenExpired", "auth.sessionEnded", "auth.tokenInvalid")) throw error;
      if (token === undefined) throw error;
      const next = await abortable(session.replace(token), call.signal);
      if (next === undefined) throw error;
      return await send(call, next);
    }
  }

  return async (call) => {
    const output = await (publicPaths.has(call.path) ? send(call) : sendWithToken(call));
    if (call.path === "auth.signOut") await session.keep(null);
    if (isRecord(output) && isTokenPair(output["tokens"])) await session.keep(output["tokens"]);
    return output;
  };
}
