"use client";

import { type ReactNode, useId, useRef } from "react";

import { Button } from "./button.tsx";

interface ConfirmDialogProps {
  /** The button that opens it, and the one that does it. */
  action: string;
  title: string;
  children: ReactNode;
  isBusy: boolean;
  onConfirm: () => void;
  /** Tells apart buttons that read the same. */
  actionLabel?: string;
}

/**
 * Asks before something that cannot be undone. The platform's own modal: the page behind is inert, Escape closes it,
 * and the focus comes back.
 */
export function ConfirmDialog({
  action,
  actionLabel,
  title,
  children,
  isBusy,
  onConfirm,
}: ConfirmDialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  return (
    <>
      <Button aria-label={actionLabel} disabled={isBusy} onClick={() => dialog.current?.showModal()}>
        {action}
      </Button>
      <dialog
        ref={dialog}
        aria-labelledby={titleId}
        className="border-line bg-surface text-ink m-auto w-[min(28rem,calc(100%-2rem))] rounded-lg border p-6"
      >
        <h2 id={titleId} className="text-lg font-semibold">
          {title}
        </h2>
        <div className="text-muted mt-2 text-sm">{children}</div>
        <div className="mt-6 flex flex-wrap justify-end gap-3">
          <Button autoFocus onClick={() => dialog.current?.close()}>
            Cancel
          </Button>
          <Button
            look="danger"
            onClick={() => {
              dialog.current?.close();
              onConfirm();
            }}
          >
            {action}
          </Button>
        </div>
      </dialog>
    </>
  );
}
