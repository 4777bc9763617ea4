/**
 * Scripts run by the nonce of the answer they came in, or because such a script loaded them; nothing inline, no eval.
 * @param nonce fresh for each answer
 */
export function contentSecurityPolicy(nonce: string): string {
  return [
    "default-src 'self'",
    `script-src 'self' 'nonce-${nonce}' 'strict-dynamic'`,
    `style-src 'self' 'nonce-${nonce}'`,
    "img-src 'self' data:",
    "object-src 'none'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "form-action 'self'",
    "report-to csp",
  ].join("; ");
}
