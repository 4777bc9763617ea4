import type { NextConfig } from "next";

/** For every answer, files and errors included. What differs from answer to answer is in src/proxy.ts. */
const headers = [
  { key: "X-Content-Type-Options", value: "nosniff" },
  { key: "X-Frame-Options", value: "DENY" },
  { key: "Referrer-Policy", value: "no-referrer" },
  { key: "Permissions-Policy", value: "geolocation=(), microphone=(), camera=(), payment=(), usb=()" },
  { key: "Cross-Origin-Opener-Policy", value: "same-origin" },
  { key: "Cross-Origin-Resource-Policy", value: "same-origin" },
];

/** Pages get theirs from src/proxy.ts, with a nonce. A file of the build is nothing that would load anything. */
const filePolicy = { key: "Content-Security-Policy", value: "default-src 'none'; frame-ancestors 'none'" };

export default {
  distDir: "dist",
  poweredByHeader: false,
  // `pnpm check` judges the types of the whole repository, with this package's own tsconfig.json.
  typescript: { ignoreBuildErrors: true },
  headers: () =>
    Promise.resolve([
      { source: "/:path*", headers },
      { source: "/_next/static/:path*", headers: [filePolicy] },
    ]),
} satisfies NextConfig;
