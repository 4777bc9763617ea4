import type { Metadata } from "next";

import { SignInForm } from "../../components/sign-in-form.tsx";
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
          On a new installation, whoever runs MiniMCP makes the first administrator in a terminal:
        </p>
        <pre
          tabIndex={0}
          aria-label="Command"
          className="bg-sunken text-ink mt-2 overflow-x-auto rounded-md p-3 font-mono text-xs"
        >
          npx pnpm minimcp admin create --email you@example.com
        </pre>
        <p className="mt-2">Everybody else gets an invitation from an administrator.</p>
      </details>
    </main>
  );
}
