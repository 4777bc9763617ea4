import { cva, type VariantProps } from "class-variance-authority";
import type { ComponentProps } from "react";

const alertStyle = cva("rounded-md px-4 py-3 text-sm", {
  variants: {
    tone: {
      neutral: "bg-sunken text-ink",
      good: "bg-good-soft text-good",
      warn: "bg-warn-soft text-warn",
      bad: "bg-bad-soft text-bad",
    },
  },
});

export function Alert({
  tone,
  className,
  ...rest
}: ComponentProps<"div"> & Required<VariantProps<typeof alertStyle>>) {
  return <div className={alertStyle({ tone, className })} {...rest} />;
}
