import type { ReactNode } from "react";

/** In place of a list that has nothing in it. */
export function EmptyList({ children }: { children: ReactNode }) {
  return (
    <p className="border-strong-line text-muted rounded-lg border border-dashed px-6 py-10 text-center text-sm">
      {children}
    </p>
  );
}
