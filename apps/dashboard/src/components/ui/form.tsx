"use client";

import type { ComponentProps, FormEvent } from "react";

interface FormProps extends Omit<ComponentProps<"form">, "method" | "onSubmit"> {
  /** Sends what was typed. */
  onSend: (form: FormData, element: HTMLFormElement) => Promise<void>;
}

/**
 * A form that the scripts of its page send. By POST all the same: where the browser sends it itself, because they have not
 * come yet, what was typed would else stand in the address.
 */
export function Form({ onSend, ...rest }: FormProps) {
  function submit(event: FormEvent<HTMLFormElement>): void {
    event.preventDefault();
    void onSend(new FormData(event.currentTarget), event.currentTarget);
  }

  return <form method="post" onSubmit={submit} {...rest} />;
}
