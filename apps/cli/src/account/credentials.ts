import { randomBytes } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { StoredTokens, TokenStore } from "@minimcp/client";

import { errorCode } from "../error-code.ts";
import { Failure } from "../failure.ts";
import { waitForLock } from "../file-lock.ts";
import { uninterrupted } from "../interrupt.ts";
import { note } from "../terminal.ts";

interface Account {
  email: string | null;
  tokens: StoredTokens;
}

interface Content {
  version: 1;
  /** The server of the last sign-in. */
  current: string | null;
  /** By the server's address. */
  accounts: Record<string, Account>;
}

/** Longer than one exchange of a refresh token may take. */
const lockTimeoutMs = 45_000;

/**
 * The sign-ins of this user, in one file that nobody else can read. It is replaced as a whole, so a reader never sees
 * half of it; whoever changes it holds a lock, so that of two commands one refreshes and the other finds that done.
 */
export class Credentials {
  readonly #directory: string;
  readonly #path: string;

  /** @param configHome the user's directory for configuration (XDG Base Directory Specification) */
  constructor(configHome: string) {
    this.#directory = join(configHome, "minimcp");
    this.#path = join(this.#directory, "credentials.json");
  }

  /** Where the last sign-in was; null when there was none. */
  async currentServer(): Promise<string | null> {
    return (await this.#read()).current;
  }

  async emailAt(server: string): Promise<string | null> {
    return (await this.#read()).accounts[server]?.email ?? null;
  }

  /** Makes a server the one that commands talk to, and remembers who is signed in there. */
  async makeCurrent(server: string, email: string): Promise<void> {
    await this.#lock(async () => {
      const content = await this.#read();
      const account = content.accounts[server];
      if (account !== undefined) content.accounts[server] = { ...account, email };
      await this.#write({ ...content, current: server });
    });
  }

  /** The tokens of one server, for the client. */
  storeFor(server: string): TokenStore {
    return {
      read: async () => (await this.#read()).accounts[server]?.tokens ?? null,
      // Called under the lock, see TokenStore.
      write: async (tokens) => {
        const content = await this.#read();
        const { [server]: known, ...others } = content.accounts;
        const accounts =
          tokens === null ? others : { ...others, [server]: { email: known?.email ?? null, tokens } };
        await this.#write({ ...content, accounts });
      },
      lock: (work) => this.#lock(work),
    };
  }

  async #lock<T>(work: () => Promise<T>): Promise<T> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    using _lock = await waitForLock(join(this.#directory, "credentials.lock"), lockTimeoutMs);
    // A refresh token counts once: cut off between its use and the storing of the next one, the sign-in would be lost.
    return await uninterrupted(work, () =>
      note("Ends when the sign-in is refreshed. Ctrl-C again ends at once, and may cost you the sign-in."),
    );
  }

  async #read(): Promise<Content> {
    let text: string;
    try {
      text = await readFile(this.#path, "utf8");
    } catch (error) {
      if (errorCode(error) === "ENOENT") return { version: 1, current: null, accounts: {} };
      throw error;
    }
    try {
      const content = JSON.parse(text) as Content;
      if (content.version === 1) return content;
    } catch {
      // Told below, like any other content that is not ours.
    }
    throw new Failure(
      `${this.#path} is not what this version of minimcp wrote. Remove it and sign in again.`,
    );
  }

  async #write(content: Content): Promise<void> {
    const draft = `${this.#path}.${randomBytes(4).toString("hex")}`;
    await writeFile(draft, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600, flag: "wx", flush: true });
    await rename(draft, this.#path);
  }
}
