"use client";

import type { Snippets } from "@minimcp/client";
import Link from "next/link";
import { useEffect, useRef } from "react";

import { isOver, type LiveInstance, type Seen } from "../../live/live-instance.ts";
import { useLive } from "../../live/use-live.ts";
import { useServerNow } from "../../live/use-server-now.ts";
import { LiveTrouble } from "../live-trouble.tsx";
import { Alert } from "../ui/alert.tsx";
import { buttonStyle } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { Copyable } from "../ui/copyable.tsx";
import { Tabs } from "../ui/tabs.tsx";
import { StateBadge } from "./state-badge.tsx";
import { TimeLeft } from "./time-left.tsx";

/** What the creation of an instance answers. */
export interface CreatedView {
  instance: Seen<LiveInstance>;
  accessToken: string;
  snippets: Snippets;
}

export function ShownOnce({ created }: { created: CreatedView }) {
  const { accessToken, snippets } = created;
  const { seen, trouble } = useLive(`/api/instances/${created.instance.value.id}/live`, created.instance);
  const nowMs = useServerNow(seen.nowMs);
  const instance = seen.value;
  const heading = useRef<HTMLHeadingElement>(null);

  // The page has changed under whoever pressed the button.
  useEffect(() => heading.current?.focus(), []);

  return (
    <div className="grid gap-6">
      <div className="grid gap-2">
        <h1 ref={heading} tabIndex={-1} className="text-2xl font-semibold tracking-tight outline-none">
          Connect your client
        </h1>
        <p className="flex flex-wrap items-center gap-x-3 gap-y-1 text-sm">
          <StateBadge instance={instance} />
          <span className="text-muted">
            {instance.label ?? instance.type}, <TimeLeft expiresAtMs={instance.expiresAtMs} nowMs={nowMs} />{" "}
            left
          </span>
        </p>
      </div>
      <LiveTrouble trouble={trouble} />
      <Connected instance={instance} />
      <Card className="grid grid-cols-[minmax(0,1fr)] gap-4" aria-labelledby="token-heading">
        <div>
          <h2 id="token-heading" className="font-semibold">
            Endpoint and token
          </h2>
          <p className="text-muted mt-1 text-sm">
            The token is shown only now. Whoever has it can use the endpoint until the deadline.
          </p>
        </div>
        <Copyable name="Endpoint" text={instance.endpoint} />
        <Copyable name="Access token" text={accessToken} />
      </Card>
      <Card className="grid grid-cols-[minmax(0,1fr)] gap-4" aria-labelledby="clients-heading">
        <h2 id="clients-heading" className="font-semibold">
          Ready-made for your client
        </h2>
        <Tabs
          label="Clients"
          tabs={[
            {
              id: "claude-code",
              name: "Claude Code",
              content: <Copyable name="Command" text={snippets.claudeCode} />,
            },
            {
              id: "claude-desktop",
              name: "Claude Desktop",
              content: <Copyable name="claude_desktop_config.json" text={snippets.claudeDesktop} />,
            },
            {
              id: "cursor",
              name: "Cursor",
              content: <Copyable name=".cursor/mcp.json" text={snippets.cursor} />,
            },
            {
              id: "vscode",
              name: "VS Code",
              content: <Copyable name=".vscode/mcp.json" text={snippets.vscode} />,
            },
          ]}
        />
      </Card>
      <div>
        <Link href={`/instances/${instance.id}`} className={buttonStyle()}>
          Done: I have the token
        </Link>
      </div>
    </div>
  );
}

function Connected({ instance }: { instance: LiveInstance }) {
  return (
    <div role="status">
      {instance.calls > 0 ? (
        <Alert tone="good">
          <strong>Your client connected.</strong> {instance.calls} {instance.calls === 1 ? "call" : "calls"}{" "}
          so far.
        </Alert>
      ) : (
        <Alert tone="neutral">
          {isOver(instance)
            ? "It is over; no client connected."
            : "Waiting for the first call of your client…"}
        </Alert>
      )}
    </div>
  );
}
