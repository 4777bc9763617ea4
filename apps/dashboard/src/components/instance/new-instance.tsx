"use client";

import { useState } from "react";

import { InstanceForm, type InstanceFormProps } from "./instance-form.tsx";
import { type CreatedView, ShownOnce } from "./shown-once.tsx";

/** The form, and in its place what it made. The token is in this page's memory alone: leaving it forgets the token. */
export function NewInstance(props: Omit<InstanceFormProps, "onCreated">) {
  const [created, setCreated] = useState<CreatedView | null>(null);
  return created === null ? (
    <InstanceForm {...props} onCreated={setCreated} />
  ) : (
    <ShownOnce created={created} />
  );
}
