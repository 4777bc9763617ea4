import type { ApiKeyProvider } from "@minimcp/client";

export const providerNames: Record<ApiKeyProvider, string> = {
  github: "GitHub",
  figma: "Figma",
  google: "Google",
};
