import Link from "next/link";

import { buttonStyle } from "../components/ui/button.tsx";

export default function NotFoundPage() {
  return (
    <main className="mx-auto grid max-w-xl gap-4 px-4 py-10">
      <h1 className="text-xl font-semibold">There is no such page</h1>
      <div>
        <Link href="/" className={buttonStyle({ look: "primary" })}>
          All instances
        </Link>
      </div>
    </main>
  );
}
