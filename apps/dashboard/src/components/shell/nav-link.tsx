"use client";

import Link from "next/link";
import { usePathname } from "next/navigation";

export function NavLink({ href, children }: { href: string; children: string }) {
  const path = usePathname();
  const isHere = href === "/" ? path === "/" || path.startsWith("/instances/") : path.startsWith(href);
  return (
    <Link
      href={href}
      aria-current={isHere ? "page" : undefined}
      className="text-muted hover:text-ink aria-[current=page]:text-ink aria-[current=page]:border-accent flex -mb-px min-h-12 items-center border-b-2 border-transparent px-1 text-sm font-medium"
    >
      {children}
    </Link>
  );
}
