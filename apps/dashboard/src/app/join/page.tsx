import type { Metadata } from "next";

import { NewAccountPage } from "../../components/account/new-account-page.tsx";

export const metadata: Metadata = { title: "Join" };

export default function JoinPage() {
  return (
    <NewAccountPage
      heading="Create your account"
      introduction="Somebody who looks after this MiniMCP has invited you."
      codeRemedy="An invitation works once, and for a limited time. Ask whoever sent it for a new one."
    />
  );
}
