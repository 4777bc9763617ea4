"use client";

import { useState } from "react";

import { type Theme, themeCookie, themes } from "../../session/read-theme.ts";
import { Button } from "../ui/button.tsx";

/** Goes through the three. The server writes the choice into the page, so that no script has to before it is shown. */
export function ThemeToggle({ first }: { first: Theme }) {
  const [theme, setTheme] = useState(first);

  function choose(): void {
    const next = themes[(themes.indexOf(theme) + 1) % themes.length] ?? "system";
    document.documentElement.dataset["theme"] = next;
    document.cookie = `${themeCookie}=${next}; Path=/; Max-Age=31536000; SameSite=Strict`;
    setTheme(next);
  }

  return (
    <Button look="quiet" onClick={choose} aria-label={`Theme: ${theme}. Change it`}>
      <span aria-hidden="true">{theme === "dark" ? "☾" : theme === "light" ? "☀" : "◐"}</span>
    </Button>
  );
}
