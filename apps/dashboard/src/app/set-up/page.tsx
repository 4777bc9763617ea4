import type { Metadata } from "next";

import { NewAccountPage } from "../../components/account/new-account-page.tsx";

export const metadata: Metadata = { title: "Set up" };

export default function SetUpPage() {
  return (
    <NewAccountPage
      heading="Set up MiniMCP"
      introduction="You are making the account of its first administrator."
      codeRemedy="The link works once, for a day. MiniMCP prints a new one each time it starts, as long as nobody has an account."
    />
  );
}
