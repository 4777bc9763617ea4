"use client";

import type { ApiKeyView, IsolationLevel, ServerTypeView } from "@minimcp/client";
import Link from "next/link";
import { useId, useRef, useState } from "react";

import { ProblemAlert } from "../problem-alert.tsx";
import { textOf } from "../text-of.ts";
import { Alert } from "../ui/alert.tsx";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { Field, inputStyle } from "../ui/field.tsx";
import { Form } from "../ui/form.tsx";
import { useMutation } from "../use-mutation.ts";
import { LifetimeField } from "./lifetime-field.tsx";
import type { CreatedView } from "./shown-once.tsx";

export interface InstanceFormProps {
  types: ServerTypeView[];
  keys: Pick<ApiKeyView, "id" | "provider" | "label">[];
  /** What a new instance would run at; null while no worker runs. */
  isolation: IsolationLevel | null;
  onCreated: (created: CreatedView) => void;
}

const defaultMinutes = "60";

/** Before the names of the fields that go into the instance's configuration. */
const configPrefix = "config.";

export function InstanceForm({ types, keys, isolation, onCreated }: InstanceFormProps) {
  const [typeId, setTypeId] = useState(types[0]?.id ?? "");
  const [minutes, setMinutes] = useState(defaultMinutes);
  const { isBusy, problem, send } = useMutation<CreatedView>("POST");
  // The same for every attempt of this form: a second one after an answer that got lost makes no second instance.
  const idempotencyKey = useRef("");
  const type = types.find(({ id }) => id === typeId);
  const provider = type?.provider ?? null;
  const fitting = keys.filter((key) => key.provider === provider);
  const lacksKey = provider !== null && fitting.length === 0;

  async function create(form: FormData): Promise<void> {
    const label = textOf(form, "label").trim();
    const apiKeyId = textOf(form, "apiKeyId");
    const config = Object.fromEntries(
      (type?.config ?? [])
        .map(({ key }) => [key, textOf(form, `${configPrefix}${key}`)] as const)
        .filter(([, value]) => value !== ""),
    );
    idempotencyKey.current ||= crypto.randomUUID();
    const created = await send("/api/instances", {
      type: typeId,
      expirationMinutes: Number(minutes),
      config,
      idempotencyKey: idempotencyKey.current,
      ...(label === "" ? {} : { label }),
      ...(apiKeyId === "" ? {} : { apiKeyId }),
    });
    if (created === undefined) return;
    onCreated(created);
  }

  function changed(): void {
    idempotencyKey.current = "";
  }

  return (
    <Form className="grid gap-6" onChange={changed} onSend={create}>
      <h1 className="text-2xl font-semibold tracking-tight">New instance</h1>
      {isolation === null && (
        <Alert tone="warn">No worker is running, so nothing could be started right now.</Alert>
      )}
      <TypePicker types={types} chosen={typeId} onChoose={setTypeId} />
      {type !== undefined && <Offer type={type} />}
      {provider !== null && (
        <KeyPicker
          provider={provider}
          requirement={type?.keyRequirement ?? null}
          keys={fitting}
          problem={problem?.fields["apiKeyId"]}
        />
      )}
      {type !== undefined && type.config.length > 0 && (
        <Card key={type.id} className="grid gap-6 sm:grid-cols-2">
          {type.config.map(({ key, description }) => (
            <Field
              key={key}
              label={key}
              name={`${configPrefix}${key}`}
              maxLength={1_000}
              autoComplete="off"
              hint={description}
              problem={problem?.fields[`config.${key}`]}
            />
          ))}
        </Card>
      )}
      <Card className="grid gap-6 sm:grid-cols-2">
        <LifetimeField
          label="Lifetime in minutes"
          hint="1 to 1,440. Everything it has ends together then."
          minutes={minutes}
          onChange={setMinutes}
          problem={problem?.fields["expirationMinutes"]}
        />
        <Field
          label="Label"
          name="label"
          maxLength={100}
          autoComplete="off"
          hint="Optional: how you tell it apart."
          problem={problem?.fields["label"]}
        />
      </Card>
      <ProblemAlert problem={problem} />
      <div className="flex flex-wrap items-center gap-3">
        <Button type="submit" look="primary" disabled={isBusy || lacksKey || type === undefined}>
          {isBusy ? "Creating…" : "Create instance"}
        </Button>
        {isolation !== null && (
          <p className="text-muted text-sm">It will run at isolation level {isolation}.</p>
        )}
      </div>
    </Form>
  );
}

interface TypePickerProps {
  types: ServerTypeView[];
  chosen: string;
  onChoose: (id: string) => void;
}

function TypePicker({ types, chosen, onChoose }: TypePickerProps) {
  return (
    <fieldset className="grid gap-3">
      <legend className="mb-2 text-sm font-medium">Type</legend>
      <div className="grid gap-3 sm:grid-cols-2">
        {types.map(({ id, title, description, provider, tools, hosts }) => (
          <label
            key={id}
            className="border-line bg-surface hover:border-strong-line has-checked:border-accent has-checked:ring-accent has-focus-visible:outline-accent flex cursor-pointer gap-3 rounded-lg border p-4 has-checked:ring-1 has-focus-visible:outline-2 has-focus-visible:outline-offset-2"
          >
            <input
              type="radio"
              name="type"
              value={id}
              checked={id === chosen}
              onChange={() => onChoose(id)}
              aria-labelledby={`type-${id}`}
              aria-describedby={`type-${id}-about`}
              className="accent-accent mt-1 size-4 shrink-0 outline-none"
            />
            <span className="grid min-w-0 gap-1">
              <span id={`type-${id}`} className="font-medium">
                {title}
              </span>
              <span id={`type-${id}-about`} className="grid gap-2">
                <span className="text-muted text-sm">{description}</span>
                <span className="text-muted text-xs">
                  {tools.length} tools · {hosts.length === 0 ? "no network" : hosts.join(", ")} ·{" "}
                  {provider === null ? "no key needed" : `needs a ${provider} key`}
                </span>
              </span>
            </span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

/** The tools of a type and the hosts that it reaches. */
function Offer({ type: { tools, hosts } }: { type: ServerTypeView }) {
  return (
    <details className="border-line bg-surface rounded-lg border px-5 py-4 text-sm">
      <summary className="w-fit font-medium">
        What it offers: {tools.length} tools, {hosts.length === 0 ? "no network" : hosts.join(", ")}
      </summary>
      <dl className="mt-3 grid gap-x-6 gap-y-2 sm:grid-cols-[auto_minmax(0,1fr)]">
        {tools.map(({ name, description }) => (
          <div key={name} className="contents">
            <dt>
              <code className="font-mono text-xs wrap-anywhere">{name}</code>
            </dt>
            <dd className="text-muted">{description}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}

interface KeyPickerProps {
  provider: string;
  /** What the key must be, in words. */
  requirement: string | null;
  keys: InstanceFormProps["keys"];
  problem: string | undefined;
}

function KeyPicker({ provider, requirement, keys, problem }: KeyPickerProps) {
  const id = useId();
  if (keys.length === 0) {
    return (
      <Alert tone="warn">
        This type needs a {provider} key, and you have none yet.{" "}
        <Link href="/keys" className="font-medium underline">
          Add a key
        </Link>
        {requirement !== null && <p className="mt-1">{requirement}</p>}
      </Alert>
    );
  }
  return (
    <div className="grid gap-1.5">
      <label htmlFor={id} className="text-sm font-medium">
        API key
      </label>
      <select id={id} name="apiKeyId" aria-describedby={`${id}-hint ${id}-problem`} className={inputStyle}>
        {keys.map((key) => (
          <option key={key.id} value={key.id}>
            {key.label}
          </option>
        ))}
      </select>
      <p id={`${id}-hint`} className="text-muted text-sm empty:hidden">
        {requirement}
      </p>
      <p id={`${id}-problem`} className="text-bad text-sm empty:hidden">
        {problem}
      </p>
    </div>
  );
}
