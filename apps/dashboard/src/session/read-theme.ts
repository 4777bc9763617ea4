/** What a person chose to see, kept by the browser. */
export const themes = ["system", "light", "dark"] as const;
export type Theme = (typeof themes)[number];

export const themeCookie = "minimcp_theme";

export function readTheme(cookies: { get(name: string): { value: string } | undefined }): Theme {
  const kept = cookies.get(themeCookie)?.value;
  return themes.find((theme) => theme === kept) ?? "system";
}
