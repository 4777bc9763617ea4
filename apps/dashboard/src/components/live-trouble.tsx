import { Alert } from "./ui/alert.tsx";

/** Says that what is shown may be old. */
export function LiveTrouble({ trouble }: { trouble: string | null }) {
  return (
    // Empty it takes no place in its grid, and yet is there before it speaks.
    <div role="status" className="empty:absolute">
      {trouble !== null && <Alert tone="warn">{trouble}</Alert>}
    </div>
  );
}
