"use client";

import { useEffect, useState } from "react";

import { ProblemAlert } from "../problem-alert.tsx";
import { textOf } from "../text-of.ts";
import { Button } from "../ui/button.tsx";
import { Field } from "../ui/field.tsx";
import { Form } from "../ui/form.tsx";
import { useMutation } from "../use-mutation.ts";

/** @param codeRemedy what to do about a code that is missing or not accepted */
export function NewAccountForm({ codeRemedy }: { codeRemedy: string }) {
  const { isBusy, problem, send } = useMutation("POST");
  const code = useCodeOfLink();
  const isCodeRefused =
    problem?.reason === "auth.invitationInvalid" || problem?.reason === "auth.signUpClosed";

  async function createAccount(form: FormData): Promise<void> {
    const created = await send("/api/account", {
      inviteCode: code ?? textOf(form, "inviteCode").trim(),
      email: textOf(form, "email"),
      name: textOf(form, "name"),
      password: textOf(form, "password"),
    });
    if (created !== undefined) window.location.assign("/");
  }

  return (
    <Form aria-label="Your account" className="grid gap-4" onSend={createAccount}>
      {code === null && (
        <Field
          label="Invitation code"
          name="inviteCode"
          hint={codeRemedy}
          autoComplete="off"
          spellCheck={false}
          required
          problem={problem?.fields["inviteCode"]}
        />
      )}
      <Field
        label="E-mail"
        name="email"
        type="email"
        autoComplete="username"
        required
        problem={problem?.fields["email"]}
      />
      <Field
        label="Name"
        name="name"
        hint="How others see you. You may leave it out."
        autoComplete="name"
        maxLength={100}
        problem={problem?.fields["name"]}
      />
      <Field
        label="Password"
        name="password"
        type="password"
        hint="At least 15 characters. A few unrelated words make a good one."
        autoComplete="new-password"
        minLength={15}
        required
        problem={problem?.fields["password"]}
      />
      <ProblemAlert problem={problem} />
      {isCodeRefused && typeof code === "string" && <p className="text-muted text-sm">{codeRemedy}</p>}
      <Button type="submit" look="primary" disabled={isBusy}>
        {isBusy ? "Creating your account…" : "Create account"}
      </Button>
    </Form>
  );
}

/**
 * The code that the link carries in its fragment, which leaves the address bar and the history at once; null without
 * one, and undefined until the page has looked.
 */
function useCodeOfLink(): string | null | undefined {
  const [code, setCode] = useState<string | null>();
  useEffect(() => {
    const inLink = window.location.hash.slice(1);
    setCode((known) => (inLink === "" ? (known ?? null) : inLink));
    if (inLink !== "") window.history.replaceState(null, "", window.location.pathname);
  }, []);
  return code;
}
