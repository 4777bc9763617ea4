"use client";

import { useRef, useState } from "react";

import type { LiveInstance } from "../../live/live-instance.ts";
import { LocalTime } from "../local-time.tsx";
import { ProblemAlert } from "../problem-alert.tsx";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { Form } from "../ui/form.tsx";
import { useMutation } from "../use-mutation.ts";
import { LifetimeField, longestMinutes } from "./lifetime-field.tsx";

const minuteMs = 60_000;

interface RenewDialogProps {
  instance: LiveInstance;
  nowMs: number;
}

/** Moves the deadline. Nothing is there when it cannot be moved any more. */
export function RenewDialog({ instance, nowMs }: RenewDialogProps) {
  const { id, expiresAtMs, latestExpiresAtMs, renewalsLeft } = instance;
  const dialog = useRef<HTMLDialogElement>(null);
  const [minutes, setMinutes] = useState("60");
  const { isBusy, problem, send } = useMutation("POST");
  // Counted from now, as the API does, and so that it ends later than it does anyway.
  const min = Math.max(1, Math.floor((expiresAtMs - nowMs) / minuteMs) + 1);
  const max = Math.min(longestMinutes, Math.floor((latestExpiresAtMs - nowMs) / minuteMs));
  if (renewalsLeft === 0 || max < min) return null;

  function open(): void {
    setMinutes(String(Math.min(Math.max(Number(minutes), min), max)));
    dialog.current?.showModal();
  }

  async function renew(): Promise<void> {
    const renewed = await send(`/api/instances/${id}/renewals`, { minutes: Number(minutes) });
    if (renewed !== undefined) dialog.current?.close();
  }

  return (
    <>
      <Button disabled={instance.state === "stopping"} onClick={open}>
        Renew
      </Button>
      <Dialog ref={dialog} title="Renew this instance?">
        <Form className="mt-2 grid gap-5" onSend={renew}>
          <p className="text-muted text-sm">
            Its address, its token and its process stay as they are; only the deadline moves, at most to{" "}
            <LocalTime ms={latestExpiresAtMs} />. It can be renewed{" "}
            {renewalsLeft === 1 ? "once more" : `${renewalsLeft} more times`}.
          </p>
          <LifetimeField
            label="Minutes from now"
            hint={`${min} to ${max.toLocaleString("en")}.`}
            minutes={minutes}
            onChange={setMinutes}
            problem={problem?.fields["minutes"]}
            min={min}
            max={max}
          />
          <ProblemAlert problem={problem} />
          <div className="flex flex-wrap justify-end gap-3">
            <Button onClick={() => dialog.current?.close()}>Cancel</Button>
            <Button type="submit" look="primary" disabled={isBusy}>
              {isBusy ? "Renewing…" : "Renew"}
            </Button>
          </div>
        </Form>
      </Dialog>
    </>
  );
}
