import "server-only";

import { getIronSession, type IronSession } from "iron-session";
import { cookies } from "next/headers";

import { dashboardConfig } from "../env.ts";

/** What the cookie seals. The bearer never reaches a page's JavaScript: the cookie is HttpOnly and sealed. */
interface SealedSession {
  bearer?: string;
}

/** A session's longest life at the server; a cookie that outlives its session opens nothing. */
const longestSessionSeconds = 12 * 60 * 60;

async function openCookie(): Promise<IronSession<SealedSession>> {
  return await getIronSession<SealedSession>(await cookies(), {
    // The prefix makes browsers insist on Secure, on this path and on no domain, so that no neighbour can plant one.
    cookieName: "__Host-minimcp_session",
    password: dashboardConfig().SESSION_SECRET,
    ttl: longestSessionSeconds,
    cookieOptions: { secure: true, httpOnly: true, sameSite: "strict", path: "/" },
  });
}

/** The bearer of who is signed in; undefined for nobody. */
export async function readBearer(): Promise<string | undefined> {
  return (await openCookie()).bearer;
}

/** Only a route handler can write cookies. */
export async function keepBearer(bearer: string): Promise<void> {
  const session = await openCookie();
  session.bearer = bearer;
  await session.save();
}

export async function forgetBearer(): Promise<void> {
  (await openCookie()).destroy();
}
