"use client";

import { useState } from "react";

import { Button } from "./button.tsx";

/** A text to take away, with a button that does it. `name` says what it is. */
export function Copyable({ name, text }: { name: string; text: string }) {
  const [outcome, setOutcome] = useState<"" | "Copied" | "Select the text and copy it">("");

  async function copy(): Promise<void> {
    try {
      await navigator.clipboard.writeText(text);
      setOutcome("Copied");
    } catch {
      setOutcome("Select the text and copy it");
    }
  }

  return (
    <div className="border-line bg-sunken rounded-md border">
      <div className="border-line flex items-center justify-between gap-3 border-b py-1 pr-1 pl-3">
        <span className="text-muted truncate text-xs">{name}</span>
        <span className="flex items-center gap-2">
          <span role="status" className="text-good text-xs">
            {outcome}
          </span>
          <Button look="quiet" className="min-h-8" aria-label={`Copy ${name}`} onClick={() => void copy()}>
            Copy
          </Button>
        </span>
      </div>
      {/* It scrolls, so the keyboard must reach it. */}
      <pre tabIndex={0} aria-label={name} className="overflow-x-auto p-3 font-mono text-xs leading-relaxed">
        {text}
      </pre>
    </div>
  );
}
