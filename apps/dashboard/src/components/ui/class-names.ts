import { twMerge } from "tailwind-merge";

/** Joins Tailwind classes; of two that set the same thing the later wins. */
export function classNames(...classes: (string | false | null | undefined)[]): string {
  return twMerge(classes);
}
