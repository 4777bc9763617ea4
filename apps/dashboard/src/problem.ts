/** What went wrong, as a page shows it. Plain JSON. */
export interface Problem {
  reason: string;
  /** A sentence that says what to do next. */
  message: string;
  /** What is wrong with each field, by its name. */
  fields: Record<string, string>;
  /** Under this the operator finds the call in logs and audit trail. */
  requestId: string | null;
  /** How to get on: by signing in, by waiting for the API, or by changing something. */
  remedy: "signIn" | "wait" | "change";
}
