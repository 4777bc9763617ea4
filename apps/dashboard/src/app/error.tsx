"use client";

import { Button } from "../components/ui/button.tsx";

/** For a defect. Its words stay on the server; the digest finds them in the dashboard's log. */
export default function ErrorPage({
  error,
  reset,
}: {
  error: Error & { digest?: string };
  reset: () => void;
}) {
  return (
    <main className="mx-auto grid max-w-xl gap-4 px-4 py-10">
      <h1 className="text-xl font-semibold">Something broke in the dashboard</h1>
      <p className="text-muted text-sm">
        Your instances are not touched by it. Try again; if it stays, tell your administrator
        {error.digest === undefined ? "." : ` the number ${error.digest}.`}
      </p>
      <div>
        <Button look="primary" onClick={reset}>
          Try again
        </Button>
      </div>
    </main>
  );
}
