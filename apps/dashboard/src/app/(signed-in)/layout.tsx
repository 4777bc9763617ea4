import { cookies } from "next/headers";
import Link from "next/link";
import { redirect } from "next/navigation";
import type { ReactNode } from "react";

import { NavLink } from "../../components/shell/nav-link.tsx";
import { SignOutButton } from "../../components/shell/sign-out-button.tsx";
import { ThemeToggle } from "../../components/shell/theme-toggle.tsx";
import { readTheme } from "../../session/read-theme.ts";
import { readBearer } from "../../session/session-cookie.ts";

export default async function SignedInLayout({ children }: { children: ReactNode }) {
  // Before anything of the page is sent; that the session still holds, each page finds out by asking the API.
  if ((await readBearer()) === undefined) redirect("/sign-in");
  const theme = readTheme(await cookies());
  return (
    <>
      <a
        href="#main"
        className="bg-accent text-on-accent absolute top-2 left-2 z-10 -translate-y-20 rounded-md px-4 py-2 text-sm focus:translate-y-0"
      >
        Skip to the content
      </a>
      <header className="border-line bg-surface border-b">
        <div className="mx-auto flex max-w-5xl flex-wrap items-center gap-x-4 px-4 sm:gap-x-6 sm:px-6">
          <Link href="/" className="flex min-h-12 items-center font-semibold tracking-tight">
            MiniMCP
          </Link>
          <nav aria-label="Main" className="flex gap-2 sm:gap-4">
            <NavLink href="/">Instances</NavLink>
            <NavLink href="/keys">Keys</NavLink>
          </nav>
          <div className="ml-auto flex items-center">
            <ThemeToggle first={theme} />
            <SignOutButton />
          </div>
        </div>
      </header>
      <main id="main" tabIndex={-1} className="mx-auto max-w-5xl px-4 py-6 outline-none sm:px-6 sm:py-8">
        {children}
      </main>
    </>
  );
}
