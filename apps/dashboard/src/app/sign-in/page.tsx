import type { Metadata } from "next";

import { SignInForm } from "../../components/account/sign-in-form.tsx";
import { Card } from "../../components/ui/card.tsx";

export const metadata: Metadata = { title: "Sign in" };

export default function SignInPage() {
  return (
    <main className="mx-auto grid min-h-dvh max-w-sm content-center gap-6 px-4 py-10">
      <div>
        <p className="text-muted text-sm font-medium">MiniMCP</p>
        <h1 className="text-2xl font-semibold tracking-tight">Sign in</h1>
      </div>
      <Card>
        <SignInForm />
      </Card>
      <details className="text-muted text-sm">
        <summary className="hover:text-ink w-fit">No account yet?</summary>
        <p className="mt-2">
          On a new installation, open the set-up link that MiniMCP prints when it starts: it makes the first
          administrator.
        </p>
        <p className="mt-2">Everybody else gets an invitation from an administrator.</p>
      </details>
    </main>
  );
}
