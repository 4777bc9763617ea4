import type { Decision } from "./decision.ts";
import type { Resolve } from "./dialer.ts";
import type { EgressLimits } from "./limits.ts";

export interface BrokerOptions {
  /** Where to listen. The directory is the caller's; the file is 0600, the caller gives it to the child's user. */
  socketPath: string;
  /** What the child may call. Everything else is denied. */
  rules: readonly EgressRule[];
  /** Null for a server type that needs no key. */
  credential: CredentialOptions | null;
  limits?: Partial<EgressLimits>;
  /** Default: the system's resolver. */
  resolve?: Resolve;
  /**
   * For development and tests only: hosts that live on this machine. A host named here is reached at
   * 127.0.0.1 and `port` instead of its real address, over TLS that `certificateAuthority` (PEM) vouches for.
   */
  loopbackUpstreams?: Readonly<Record<string, { port: number; certificateAuthority: string }>>;
  /** Called once for each request, when it is over. Must not throw. */
  record(decision: Decision): void;
  /** The cause behind an answer that tells no details, for the operator's log. Must not throw. */
  onError?(cause: unknown): void;
  /** Milliseconds since 1970. */
  now?: () => number;
}

export interface EgressRule {
  /** An exact host name in lower case: no wildcard, no address. */
  host: string;
  port: number;
  methods: readonly string[];
  /** `/repos` admits `/repos` and `/repos/…`, not `/repository`; `/` admits everything. */
  pathPrefixes: readonly string[];
}

export type CredentialOptions = {
  inject: Injection;
  /** How the value looks that a third-party child is given as its key; null for a child that holds nothing. */
  placeholder: PlaceholderForm | null;
  /** A token endpoint that wants the secret in a body; the broker answers it itself. */
  tokenEndpoint?: { host: string; path: string } | undefined;
} & CredentialSource;

export interface Injection {
  /** The only hosts that ever see the secret. */
  hosts: readonly string[];
  scheme: "bearer" | "basic" | "header";
  /** Of the scheme `header`, such as `x-figma-token`. */
  header?: string | undefined;
  /** Stands before the secret in the scheme `header`, such as `token `. */
  prefix?: string | undefined;
  /** Of the scheme `basic`; the secret is the password. */
  username?: string | undefined;
}

export interface PlaceholderForm {
  prefix: string;
  /** In characters, with the prefix. */
  length: number;
}

export type CredentialSource =
  | {
      /**
       * Opens the key. Called once, at the first request that needs it; the buffer belongs to the broker from then on,
       * which fills it with zeros when it is disposed of.
       *
       * @param signal aborts when the broker is disposed of or `credentialTimeoutMs` is over
       */
      read(signal: AbortSignal): Promise<Buffer>;
    }
  | {
      /**
       * Gets a new access token. Called when there is none, when it is about to expire, and once when the upstream
       * refuses it; however many requests wait, one call is under way. The buffer belongs to the broker.
       */
      readToken(signal: AbortSignal): Promise<AccessToken>;
    };

export interface AccessToken {
  token: Buffer;
  /** Milliseconds since 1970; null when nobody knows. */
  expiresAt: number | null;
}
