import Link from "next/link";

const choices = [
  { id: "live", name: "Live", href: "/" },
  { id: "over", name: "Over", href: "/?show=over" },
] as const;

export function InstanceFilter({ shown }: { shown: (typeof choices)[number]["id"] }) {
  return (
    <nav aria-label="Which instances" className="border-line flex gap-2 border-b">
      {choices.map(({ id, name, href }) => (
        <Link
          key={id}
          href={href}
          aria-current={id === shown ? "true" : undefined}
          className="text-muted hover:text-ink aria-[current=true]:border-accent aria-[current=true]:text-ink -mb-px flex min-h-10 items-center border-b-2 border-transparent px-3 text-sm font-medium"
        >
          {name}
        </Link>
      ))}
    </nav>
  );
}
