import Link from "next/link";

import { Card } from "../ui/card.tsx";
import { NewAccountForm } from "./new-account-form.tsx";

interface NewAccountPageProps {
  heading: string;
  introduction: string;
  /** What to do about a code that is missing or not accepted. */
  codeRemedy: string;
}

export function NewAccountPage({ heading, introduction, codeRemedy }: NewAccountPageProps) {
  return (
    <main className="mx-auto grid min-h-dvh max-w-sm content-center gap-6 px-4 py-10">
      <div>
        <p className="text-muted text-sm font-medium">MiniMCP</p>
        <h1 className="text-2xl font-semibold tracking-tight">{heading}</h1>
        <p className="text-muted mt-2 text-sm">{introduction}</p>
      </div>
      <Card>
        <NewAccountForm codeRemedy={codeRemedy} />
      </Card>
      <p className="text-muted text-sm">
        You have an account?{" "}
        <Link href="/sign-in" className="hover:text-ink underline">
          Sign in
        </Link>
      </p>
    </main>
  );
}
