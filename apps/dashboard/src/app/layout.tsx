import "./globals.css";

import type { Metadata, Viewport } from "next";
import { cookies } from "next/headers";
import type { ReactNode } from "react";

import { readTheme } from "../session/read-theme.ts";

export const metadata: Metadata = {
  title: { default: "MiniMCP", template: "%s · MiniMCP" },
  robots: { index: false, follow: false },
};

export const viewport: Viewport = { colorScheme: "light dark" };

export default async function RootLayout({ children }: { children: ReactNode }) {
  // Reading a cookie also has every page written for its request, which the nonce needs.
  const theme = readTheme(await cookies());
  return (
    <html lang="en" data-theme={theme}>
      <body>{children}</body>
    </html>
  );
}
