"use client";

import { useRouter } from "next/navigation";
import { useId, useState } from "react";

import { ProblemAlert } from "../problem-alert.tsx";
import { textOf } from "../text-of.ts";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { Field, inputStyle } from "../ui/field.tsx";
import { Form } from "../ui/form.tsx";
import { useMutation } from "../use-mutation.ts";
import { providerNames } from "./provider-names.ts";

export function KeyForm() {
  const { isBusy, problem, send } = useMutation("POST");
  const [added, setAdded] = useState("");
  const router = useRouter();
  const id = useId();

  async function store(form: FormData, element: HTMLFormElement): Promise<void> {
    const label = textOf(form, "label");
    setAdded("");
    const stored = await send("/api/keys", {
      provider: textOf(form, "provider"),
      label,
      secret: textOf(form, "secret"),
    });
    if (stored === undefined) return;
    element.reset();
    setAdded(`The key “${label}” is stored.`);
    router.refresh();
  }

  return (
    <Card aria-labelledby={`${id}-heading`}>
      <h2 id={`${id}-heading`} className="font-semibold">
        Add a key
      </h2>
      <Form className="mt-4 grid gap-4 sm:grid-cols-2" onSend={store}>
        <div className="grid content-start gap-1.5">
          <label htmlFor={`${id}-provider`} className="text-sm font-medium">
            Service
          </label>
          <select id={`${id}-provider`} name="provider" className={inputStyle}>
            {Object.entries(providerNames).map(([provider, name]) => (
              <option key={provider} value={provider}>
                {name}
              </option>
            ))}
          </select>
        </div>
        <Field
          label="Label"
          name="label"
          required
          maxLength={100}
          autoComplete="off"
          problem={problem?.fields["label"]}
        />
        <div className="sm:col-span-2">
          <Field
            label="Key"
            name="secret"
            type="password"
            required
            autoComplete="off"
            spellCheck={false}
            className="font-mono"
            hint="Nobody can read it again after this, not even you."
            problem={problem?.fields["secret"]}
          />
        </div>
        <div className="grid gap-3 sm:col-span-2">
          <ProblemAlert problem={problem} />
          <div className="flex flex-wrap items-center gap-3">
            <Button type="submit" look="primary" disabled={isBusy}>
              {isBusy ? "Storing…" : "Add key"}
            </Button>
            <span role="status" className="text-good text-sm">
              {added}
            </span>
          </div>
        </div>
      </Form>
    </Card>
  );
}
