/** Replaces secrets in what an upstream sends back. */
export interface Redactor {
  /** @returns what can be passed on; it may hold back the beginning of what could become a secret */
  push(chunk: Buffer): Buffer;
  /** @returns what was held back */
  end(): Buffer;
}

const word = "[redacted]";

export function redactText(text: string, secrets: readonly Buffer[]): string {
  return secrets.reduce((redacted, secret) => redacted.replaceAll(secret.toString("latin1"), word), text);
}

/**
 * Finds secrets in a stream of bytes, also where they are cut in two, and writes a word of the same length over them,
 * so that a Content-Length stays true. Only an end that begins a secret waits for the next piece: an event of a
 * stream, which ends in a line break, never does.
 */
export function createRedactor(secrets: readonly Buffer[]): Redactor {
  let held: Buffer = Buffer.alloc(0);
  return {
    push(chunk) {
      let bytes: Buffer = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
      for (const secret of secrets) bytes = overwrite(bytes, secret);
      const keep = Math.max(...secrets.map((secret) => beginningAtEnd(bytes, secret)));
      held = Buffer.from(bytes.subarray(bytes.length - keep));
      return bytes.subarray(0, bytes.length - keep);
    },
    end: () => held,
  };
}

function overwrite(bytes: Buffer, secret: Buffer): Buffer {
  let at = bytes.indexOf(secret);
  if (at < 0) return bytes;
  const copy = Buffer.from(bytes);
  const cover = Buffer.from(word.padEnd(secret.length, "*").slice(0, secret.length));
  for (; at >= 0; at = copy.indexOf(secret, at + cover.length)) cover.copy(copy, at);
  return copy;
}

/** How many bytes at the end of `bytes` are the beginning of `secret`. */
function beginningAtEnd(bytes: Buffer, secret: Buffer): number {
  for (let length = Math.min(secret.length - 1, bytes.length); length > 0; length--) {
    if (bytes.subarray(bytes.length - length).equals(secret.subarray(0, length))) return length;
  }
  return 0;
}
