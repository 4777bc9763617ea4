import { stripVTControlCharacters } from "node:util";

/**
 * What looks like a secret, and what is left of it. Wide on purpose: a word too many that is missing from a log costs a
 * second look, a secret that is in it costs the secret. None of the patterns can take longer than a line is long.
 */
const secrets: readonly (readonly [pattern: RegExp, left: string])[] = [
  // Of a PEM block within one line, also where its line breaks are written as \n.
  [
    /-----BEGIN [A-Z0-9 ]{1,40}-----(?:(?!-----END)[^"'`])*(?:-----END [A-Z0-9 ]{1,40}-----)?/g,
    "[PEM block]",
  ],
  // Our own, also where a cut has left only the beginning.
  [/(mcp|mss|mrt|mmp|inv)_[0-9A-Za-z]{12,}/g, "$1_[redacted]"],
  // JWS and JWE in compact form: the header is JSON, so it begins with {" in base64url.
  [/eyJ[\w-]{6,}(?:\.[\w-]*){1,4}/g, "[JWT]"],
  // Tokens of the services that keys are stored for, and of those that are met most.
  [/(gh[pousr]|github_pat|fig[do]r?|glpat|xox[abeprs])[_-][\w-]{12,}/g, "$1_[redacted]"],
  [/(ya29\.|1\/\/0|AIza|GOCSPX-|sk-|AKIA|ASIA)[\w-]{12,}/g, "$1[redacted]"],
  [/\b(Bearer|Basic)\s+(?!auth|token|cred)[\w.~+/=-]{6,}/gi, "$1 [redacted]"],
  // scheme://user:password@host. Up to the last @, since passwords hold some; never across a space or a quote.
  [/([a-z][a-z0-9+.-]{0,30}:\/\/[^\s:/@"'`]{0,200}):[^\s"'`]{1,500}@/gi, "$1:[redacted]@"],
  // password=…, "apiKey": "…", X-Api-Key: …
  [
    /((?:passw(?:or)?d|passphrase|pwd|secret|api[_-]?key|private[_-]?key|access[_-]?token|refresh[_-]?token|client[_-]?secret|authorization|cookie)["'`]?\s{0,3}[=:]\s{0,3})("[^"]{1,2000}"?|'[^']{1,2000}'?|(?!\[redacted\]|Bearer \[|Basic \[)[^\s,;&"'`]+)/gi,
    "$1[redacted]",
  ],
];

/** Nothing else on the line but 60 or more base64 characters: the inside of a PEM block whose beginning was not seen. */
const bareKeyMaterial = /^\s*[A-Za-z0-9+/]{60,}={0,2}\s*$/;

/** Line breaks and tabs apart: what could move a terminal's cursor, hide text or turn its direction around. */
const invisible = /[\p{Cc}\u200B-\u200F\u202A-\u202E\u2066-\u2069\uFEFF]/gu;

/** Text without what looks like a secret. */
export function redact(text: string): string {
  return secrets.reduce((rest, [pattern, left]) => rest.replace(pattern, left), text);
}

/** One line for people to read: its colours and control characters taken out, so that it cannot act on a terminal. */
export function makePrintable(line: string): string {
  return stripVTControlCharacters(line).replaceAll("\t", "  ").replaceAll(invisible, "\uFFFD").toWellFormed();
}

/** After so many lines a PEM block that never ended is taken for something else. */
const maxBlockLines = 200;

/**
 * Redacts the output of one stream line by line, PEM blocks that go over several lines included.
 * @returns a function that takes the lines in their order
 */
export function createLineRedactor(): (line: string) => string {
  let blockLinesLeft = 0;
  return (line) => {
    const printable = makePrintable(line);
    if (blockLinesLeft > 0) {
      blockLinesLeft = /-----END [A-Z0-9 ]{1,40}-----/.test(printable) ? 0 : blockLinesLeft - 1;
      return "[PEM block]";
    }
    const begins = printable.lastIndexOf("-----BEGIN ");
    if (begins !== -1 && !printable.includes("-----END ", begins)) blockLinesLeft = maxBlockLines;
    return bareKeyMaterial.test(printable) ? "[key material]" : redact(printable);
  };
}
