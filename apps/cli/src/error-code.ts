/** The system's name of what went wrong, such as `ENOENT`; undefined for an error that has none. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
