export default function Loading() {
  return (
    <div role="status" className="grid gap-4 py-2">
      <span className="sr-only">Loading</span>
      <div className="bg-sunken h-8 w-48 animate-pulse rounded-md" />
      <div className="bg-sunken h-24 animate-pulse rounded-lg" />
      <div className="bg-sunken h-24 animate-pulse rounded-lg" />
    </div>
  );
}
