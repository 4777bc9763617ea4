import "server-only";

import { type ClientOptions, createMiniMcpClient, type MiniMcpClient } from "@minimcp/client";
import { headers } from "next/headers";

import { dashboardConfig } from "../env.ts";
import { browserAddressHeader } from "../security/browser-address.ts";

/**
 * The API, called for the browser of the request that is being answered: the audit trail shall name that, not us.
 * @param bearer of who is signed in; without it only public procedures work
 */
export async function openClient(
  bearer?: string,
  options: Pick<ClientOptions, "timeoutMs" | "maxRetryWaitMs"> = {},
): Promise<MiniMcpClient> {
  const { PUBLIC_URL, HOP_SECRET } = dashboardConfig();
  const browser = await headers();
  const address = browser.get(browserAddressHeader);
  const userAgent = browser.get("user-agent");
  return createMiniMcpClient({
    ...options,
    url: PUBLIC_URL,
    token: bearer,
    fetch(url, init) {
      const sent = new Headers(init?.headers);
      if (HOP_SECRET !== undefined && address !== null) {
        sent.set("x-minimcp-hop", HOP_SECRET);
        sent.set(browserAddressHeader, address);
      }
      if (userAgent !== null) sent.set("user-agent", userAgent);
      return fetch(url, { ...init, headers: sent });
    },
  });
}
