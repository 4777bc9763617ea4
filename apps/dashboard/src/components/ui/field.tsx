import { type ComponentProps, type ReactNode, useId } from "react";

import { classNames } from "./class-names.ts";

export const inputStyle =
  "border-strong-line bg-surface text-ink min-h-10 w-full rounded-md border px-3 text-base sm:text-sm aria-invalid:border-bad";

interface FieldProps {
  label: string;
  /** Says what to enter, before anything is wrong. */
  hint?: ReactNode;
  /** What is wrong with what was entered. */
  problem?: string | undefined;
}

/** A text field with its label, and what there is to say about it where a screen reader finds it. */
export function Field({ label, hint, problem, className, ...input }: FieldProps & ComponentProps<"input">) {
  const id = useId();
  return (
    <div className="grid content-start gap-1.5">
      <label htmlFor={id} className="text-sm font-medium">
        {label}
      </label>
      <input
        id={id}
        className={classNames(inputStyle, className)}
        aria-invalid={problem === undefined ? undefined : true}
        aria-describedby={`${id}-hint ${id}-problem`}
        {...input}
      />
      <p id={`${id}-hint`} className="text-muted text-sm empty:hidden">
        {hint}
      </p>
      <p id={`${id}-problem`} className="text-bad text-sm empty:hidden">
        {problem}
      </p>
    </div>
  );
}
