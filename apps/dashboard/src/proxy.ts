import { randomBytes } from "node:crypto";

import { type NextRequest, NextResponse } from "next/server";

import { dashboardConfig } from "./env.ts";
import { contentSecurityPolicy } from "./security/content-security-policy.ts";
import { isOwnHost } from "./security/request-origin.ts";

/** Runs before every page and route: gives the answer its policy, and tells Next the nonce to write it with. */
export function proxy(request: NextRequest): NextResponse {
  const { DASHBOARD_URL } = dashboardConfig();
  if (!isOwnHost(request.headers.get("host"), DASHBOARD_URL)) {
    return NextResponse.json(
      { message: `This dashboard is at ${DASHBOARD_URL}. Open it under that address.` },
      {
        status: 421,
        headers: { "Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'" },
      },
    );
  }
  const policy = contentSecurityPolicy(randomBytes(16).toString("base64"));
  const headers = new Headers(request.headers);
  headers.set("Content-Security-Policy", policy);
  const response = NextResponse.next({ request: { headers } });
  response.headers.set("Content-Security-Policy", policy);
  response.headers.set("Reporting-Endpoints", 'csp="/api/csp-reports"');
  response.headers.set("Cache-Control", "no-store");
  if (DASHBOARD_URL.startsWith("https:")) {
    response.headers.set("Strict-Transport-Security", "max-age=31536000; includeSubDomains");
  }
  return response;
}

/** Files of the build have nothing private in them and are cached for good. */
export const config = { matcher: "/((?!_next/static/).*)" };
