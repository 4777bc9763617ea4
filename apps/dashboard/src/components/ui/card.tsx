import type { ComponentProps } from "react";

import { classNames } from "./class-names.ts";

export function Card({ className, ...rest }: ComponentProps<"section">) {
  return (
    <section
      className={classNames("border-line bg-surface rounded-lg border p-5 sm:p-6", className)}
      {...rest}
    />
  );
}
