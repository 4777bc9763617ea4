"use client";

import { sendMutation } from "../send-mutation.ts";
import { Button } from "../ui/button.tsx";

async function signOut(): Promise<void> {
  const sent = await sendMutation("DELETE", "/api/session");
  // A whole new page, so that nothing that was read stays in memory.
  if (sent.ok) window.location.assign("/sign-in");
}

export function SignOutButton() {
  return (
    <Button look="quiet" onClick={() => void signOut()}>
      Sign out
    </Button>
  );
}
