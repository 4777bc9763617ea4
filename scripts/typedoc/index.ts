// TypeDoc knows no compiler as new as the house's, so it lives in a package of its own, beside one that it does know.
export { Application } from "typedoc";
export type { PluginOptions } from "typedoc-plugin-markdown";
export { default as ts } from "typescript";
