import type { Context, OpenStreams, Principal } from "@minimcp/core";

/** What a call brings along before anybody has looked at who makes it. */
export interface RouterContext extends Omit<Context, "principal" | "signal"> {
  /** Who calls. @throws Unauthenticated for a credential that does not count */
  authenticate(): Promise<Principal>;
  /** The places for answers that go on. */
  streams: OpenStreams;
  /** Hears of errors that nobody expected, with what is needed to find them; their callers only get the request id. */
  reportDefect(error: unknown, where: { procedure: string; requestId: string }): void;
}
