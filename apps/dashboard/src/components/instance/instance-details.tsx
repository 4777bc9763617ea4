"use client";

import Link from "next/link";
import { useRouter } from "next/navigation";
import { type ReactNode, useEffect } from "react";

import { isOver, type LiveInstance, type Seen } from "../../live/live-instance.ts";
import { useLive } from "../../live/use-live.ts";
import { useServerNow } from "../../live/use-server-now.ts";
import { Facts } from "../facts.tsx";
import { LiveTrouble } from "../live-trouble.tsx";
import { LocalTime } from "../local-time.tsx";
import { ProblemAlert } from "../problem-alert.tsx";
import { Alert } from "../ui/alert.tsx";
import { Card } from "../ui/card.tsx";
import { ConfirmDialog } from "../ui/confirm-dialog.tsx";
import { Copyable } from "../ui/copyable.tsx";
import { useMutation } from "../use-mutation.ts";
import { InstanceLog } from "./instance-log.tsx";
import { IsolationCard } from "./isolation-card.tsx";
import { RenewDialog } from "./renew-dialog.tsx";
import { StateBadge } from "./state-badge.tsx";
import { TimeLeft } from "./time-left.tsx";

interface InstanceDetailsProps {
  first: Seen<LiveInstance>;
  /** Whether the children are there: what the server writes once it is over. */
  hasReceipt: boolean;
  children: ReactNode;
}

export function InstanceDetails({ first, hasReceipt, children }: InstanceDetailsProps) {
  const { seen, trouble } = useLive(
    isOver(first.value) ? null : `/api/instances/${first.value.id}/live`,
    first,
  );
  const nowMs = useServerNow(seen.nowMs);
  const { isBusy, problem, send } = useMutation("DELETE");
  const router = useRouter();
  const instance = seen.value;
  const over = isOver(instance);

  useEffect(() => {
    if (over && !hasReceipt) router.refresh();
  }, [over, hasReceipt, router]);

  const title = instance.label ?? instance.type;
  return (
    <div className="grid grid-cols-[minmax(0,1fr)] gap-6">
      <div className="flex flex-wrap items-start justify-between gap-4">
        <div className="grid min-w-0 gap-2">
          <Link href="/" className="text-muted hover:text-ink w-fit text-sm">
            ← All instances
          </Link>
          <h1 className="text-2xl font-semibold tracking-tight wrap-anywhere">{title}</h1>
          <p role="status" className="flex flex-wrap items-center gap-x-3 gap-y-1 text-sm">
            <StateBadge instance={instance} />
            <span className="text-muted">{instance.type}</span>
          </p>
        </div>
        {!over && (
          <div className="flex flex-wrap gap-3">
            <RenewDialog instance={instance} nowMs={nowMs} />
            <ConfirmDialog
              action="Revoke"
              title="Revoke this instance?"
              isBusy={isBusy || instance.state === "stopping"}
              onConfirm={() => void send(`/api/instances/${instance.id}`)}
            >
              Its process, its connections and its token end at once, and nothing brings them back. Clients
              that use it get an error.
            </ConfirmDialog>
          </div>
        )}
      </div>
      <LiveTrouble trouble={trouble} />
      <ProblemAlert problem={problem} />
      {instance.failure !== null && <Alert tone="bad">It could not start: {instance.failure}</Alert>}
      {children}
      <Card>
        <Facts
          facts={[
            {
              name: over ? "Ended" : "Time left",
              value: over ? (
                <LocalTime ms={instance.endedAtMs ?? instance.expiresAtMs} />
              ) : (
                <TimeLeft expiresAtMs={instance.expiresAtMs} nowMs={nowMs} />
              ),
            },
            { name: "Deadline", value: <LocalTime ms={instance.expiresAtMs} /> },
            { name: "Created", value: <LocalTime ms={instance.createdAtMs} /> },
            { name: "Calls", value: instance.calls },
          ]}
        />
      </Card>
      {!over && <Copyable name="Endpoint" text={instance.endpoint} />}
      <InstanceLog id={instance.id} isOver={over} />
      <IsolationCard isolation={instance.isolation} />
    </div>
  );
}
