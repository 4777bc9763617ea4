"use client";

import { type ReactNode, useRef } from "react";

import { Button } from "./button.tsx";
import { Dialog } from "./dialog.tsx";

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

/** Asks before something that cannot be undone. */
export function ConfirmDialog({
  action,
  actionLabel,
  title,
  children,
  isBusy,
  onConfirm,
}: ConfirmDialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  return (
    <>
      <Button aria-label={actionLabel} disabled={isBusy} onClick={() => dialog.current?.showModal()}>
        {action}
      </Button>
      <Dialog ref={dialog} title={title}>
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
      </Dialog>
    </>
  );
}
