"use client";

import type { ApiKeyView } from "@minimcp/client";
import { useRouter } from "next/navigation";

import { EmptyList } from "../empty-list.tsx";
import { LocalTime } from "../local-time.tsx";
import { ProblemAlert } from "../problem-alert.tsx";
import { ConfirmDialog } from "../ui/confirm-dialog.tsx";
import { useMutation } from "../use-mutation.ts";
import { providerNames } from "./provider-names.ts";

export function KeyList({ keys }: { keys: ApiKeyView[] }) {
  if (keys.length === 0) {
    return (
      <EmptyList>
        You have no keys yet. Add one for the services whose instances you want; the playground works without.
      </EmptyList>
    );
  }
  return (
    <ul className="border-line bg-surface divide-line divide-y rounded-lg border">
      {keys.map((key) => (
        <KeyRow key={key.id} apiKey={key} />
      ))}
    </ul>
  );
}

function KeyRow({ apiKey }: { apiKey: ApiKeyView }) {
  const { isBusy, problem, send } = useMutation("DELETE");
  const router = useRouter();
  const { id, label, provider, hint, liveInstances, lastUsedAt } = apiKey;
  const inUse = liveInstances === 1 ? "1 live instance uses it" : `${liveInstances} live instances use it`;

  async function remove(): Promise<void> {
    if ((await send(`/api/keys/${id}`)) !== undefined) router.refresh();
  }

  return (
    <li className="grid gap-3 px-4 py-4 sm:px-5">
      <div className="flex flex-wrap items-center justify-between gap-3">
        <div className="min-w-0 flex-1 basis-52">
          <p className="font-medium wrap-anywhere">{label}</p>
          <p className="text-muted text-sm">
            {providerNames[provider]}
            {hint !== "" && (
              <>
                {" "}
                · ends in <code className="font-mono">{hint}</code>
              </>
            )}{" "}
            · {inUse} ·{" "}
            {lastUsedAt === null ? (
              "never used"
            ) : (
              <>
                last used <LocalTime ms={lastUsedAt.getTime()} />
              </>
            )}
          </p>
        </div>
        <ConfirmDialog
          action="Delete"
          actionLabel={`Delete ${label}`}
          title={`Delete the key “${label}”?`}
          isBusy={isBusy}
          onConfirm={() => void remove()}
        >
          {liveInstances === 0
            ? "Nothing uses it now. It is wiped at once and cannot be brought back."
            : `${inUse} and ${liveInstances === 1 ? "ends" : "end"} with it. It is wiped at once and cannot be brought back.`}
        </ConfirmDialog>
      </div>
      <ProblemAlert problem={problem} />
    </li>
  );
}
