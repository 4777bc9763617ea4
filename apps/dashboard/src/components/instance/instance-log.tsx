"use client";

import { useEffect, useId, useRef, useState } from "react";

import type { LogLine } from "../../live/log-line.ts";
import { useEventStream } from "../../live/use-event-stream.ts";
import { formatBytes } from "../format-bytes.ts";
import { LiveTrouble } from "../live-trouble.tsx";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";

/** As many as the server keeps. */
const mostLines = 1_000;
/** So close to its end a log counts as read to its end. */
const nearPx = 24;

/** What an instance's process wrote, as it writes it. Secrets are taken out of it before it is stored. */
export function InstanceLog({ id, isOver }: { id: string; isOver: boolean }) {
  const [lines, setLines] = useState<LogLine[]>([]);
  const [isFollowing, setFollowing] = useState(true);
  // Once it is over there is nothing to pause.
  const path = isFollowing || isOver ? `/api/instances/${id}/log` : null;
  const trouble = useEventStream(path, (line) =>
    setLines((known) => [...known, line as LogLine].slice(-mostLines)),
  );
  const box = useRef<HTMLDivElement>(null);
  const isAtEnd = useRef(true);
  const headingId = useId();

  useEffect(() => {
    if (box.current !== null && isAtEnd.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines]);

  function scrolled({ scrollTop, scrollHeight, clientHeight }: HTMLDivElement): void {
    isAtEnd.current = scrollHeight - scrollTop - clientHeight < nearPx;
  }

  return (
    <Card aria-labelledby={headingId} className="grid grid-cols-[minmax(0,1fr)] gap-4">
      <div className="flex flex-wrap items-center justify-between gap-3">
        <div>
          <h2 id={headingId} className="font-semibold">
            Log
          </h2>
          <p className="text-muted mt-1 text-sm">What its process wrote, without what looks like a secret.</p>
        </div>
        {!isOver && (
          <Button onClick={() => setFollowing(!isFollowing)}>
            {isFollowing ? "Pause" : "Follow"}
            <span className="sr-only"> the log</span>
          </Button>
        )}
      </div>
      <LiveTrouble trouble={trouble} />
      {/* It scrolls, so the keyboard must reach it. Not announced: a server may write a hundred lines a second. */}
      <div
        ref={box}
        role="log"
        aria-live="off"
        aria-labelledby={headingId}
        tabIndex={0}
        onScroll={({ currentTarget }) => scrolled(currentTarget)}
        className="border-line bg-sunken max-h-96 overflow-y-auto rounded-md border p-3 font-mono text-xs leading-relaxed"
      >
        {lines.length === 0 ? (
          <p className="text-muted font-sans text-sm">
            {isOver ? "It wrote nothing." : "It has written nothing yet."}
          </p>
        ) : (
          <ol className="grid gap-0.5">
            {lines.map((line) => (
              <Line key={line.id} line={line} />
            ))}
          </ol>
        )}
      </div>
    </Card>
  );
}

function Line({ line }: { line: LogLine }) {
  const { id, atMs, stream, text, droppedBytes } = line;
  const at = new Date(atMs);
  return (
    <li id={`line-${id}`}>
      {droppedBytes > 0 && <p className="text-warn">… {formatBytes(droppedBytes)} were not kept</p>}
      <div className="grid grid-cols-[auto_minmax(0,1fr)] gap-x-3">
        <span className="text-muted whitespace-nowrap">
          <time dateTime={at.toISOString()}>{at.toLocaleTimeString(undefined, { hour12: false })}</time>
          {stream === "stdout" && " out"}
        </span>
        {/* Isolated: a line cannot turn the direction of what stands around it. */}
        <bdi className="wrap-anywhere whitespace-pre-wrap">{text}</bdi>
      </div>
    </li>
  );
}
