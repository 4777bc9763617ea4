"use client";

import { useId } from "react";

import { ProblemAlert } from "../problem-alert.tsx";
import { Button } from "../ui/button.tsx";
import { Field } from "../ui/field.tsx";
import { Form } from "../ui/form.tsx";
import { textOf } from "../text-of.ts";
import { useMutation } from "../use-mutation.ts";

export function SignInForm() {
  const { isBusy, problem, send } = useMutation("POST");
  const headingId = useId();

  async function signIn(form: FormData): Promise<void> {
    const signedIn = await send("/api/session", {
      email: textOf(form, "email"),
      password: textOf(form, "password"),
    });
    if (signedIn !== undefined) window.location.assign("/");
  }

  return (
    <Form aria-labelledby={headingId} className="grid gap-4" onSend={signIn}>
      <h2 id={headingId} className="sr-only">
        Your account
      </h2>
      <Field
        label="E-mail"
        name="email"
        type="email"
        autoComplete="username"
        required
        problem={problem?.fields["email"]}
      />
      <Field
        label="Password"
        name="password"
        type="password"
        autoComplete="current-password"
        required
        problem={problem?.fields["password"]}
      />
      <ProblemAlert problem={problem} />
      <Button type="submit" look="primary" disabled={isBusy}>
        {isBusy ? "Signing in…" : "Sign in"}
      </Button>
    </Form>
  );
}
