"use client";

import { Content, List, Root, Trigger } from "@radix-ui/react-tabs";
import type { ReactNode } from "react";

export interface Tab {
  /** Without spaces: it becomes part of an element id. */
  id: string;
  name: string;
  content: ReactNode;
}

/**
 * For what is rendered in the browser only: on the server Radix would write style attributes, which the
 * Content-Security-Policy refuses.
 */
export function Tabs({ label, tabs }: { label: string; tabs: readonly Tab[] }) {
  return (
    <Root defaultValue={tabs[0]?.id ?? ""}>
      <List aria-label={label} className="border-line flex overflow-x-auto border-b">
        {tabs.map(({ id, name }) => (
          <Trigger
            key={id}
            value={id}
            className="text-muted hover:text-ink data-[state=active]:border-accent data-[state=active]:text-ink -mb-px min-h-10 border-b-2 border-transparent px-3 text-sm font-medium whitespace-nowrap focus-visible:-outline-offset-2"
          >
            {name}
          </Trigger>
        ))}
      </List>
      {tabs.map(({ id, content }) => (
        <Content key={id} value={id} className="pt-4">
          {content}
        </Content>
      ))}
    </Root>
  );
}
