import type { InstanceEndReason, InstanceState } from "@minimcp/client";

import type { LiveInstance } from "../../live/live-instance.ts";
import { Badge, type BadgeTone } from "../ui/badge.tsx";

const looks: Record<InstanceState, { tone: BadgeTone; text: string }> = {
  requested: { tone: "warn", text: "Requested" },
  starting: { tone: "warn", text: "Starting" },
  ready: { tone: "good", text: "Ready" },
  idle: { tone: "good", text: "Idle" },
  stopping: { tone: "warn", text: "Stopping" },
  ended: { tone: "neutral", text: "Ended" },
  failed: { tone: "bad", text: "Failed" },
};

const endings: Record<InstanceEndReason, string> = {
  expired: "Expired",
  revoked: "Revoked",
  suspended: "Ended: account suspended",
  keyDeleted: "Ended: key deleted",
  lockdown: "Ended: lockdown",
  memory: "Ended: too much memory",
  cpu: "Ended: too much CPU",
  crashLoop: "Ended: crashed again and again",
  accountDeleted: "Ended: account deleted",
};

export function StateBadge({ instance }: { instance: Pick<LiveInstance, "state" | "endReason"> }) {
  const { tone, text } = looks[instance.state];
  const ending =
    instance.state === "ended" && instance.endReason !== null ? endings[instance.endReason] : text;
  return <Badge tone={tone}>{ending}</Badge>;
}
