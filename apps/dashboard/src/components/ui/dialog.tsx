"use client";

import { type ReactNode, type Ref, useId } from "react";

interface DialogProps {
  /** Opens it with `showModal()` and closes it with `close()`. */
  ref: Ref<HTMLDialogElement>;
  title: string;
  children: ReactNode;
}

/** The platform's own modal: the page behind is inert, Escape closes it, and the focus comes back. */
export function Dialog({ ref, title, children }: DialogProps) {
  const titleId = useId();
  return (
    <dialog
      ref={ref}
      aria-labelledby={titleId}
      className="border-line bg-surface text-ink m-auto w-[min(28rem,calc(100%-2rem))] rounded-lg border p-6"
    >
      <h2 id={titleId} className="text-lg font-semibold">
        {title}
      </h2>
      {children}
    </dialog>
  );
}
