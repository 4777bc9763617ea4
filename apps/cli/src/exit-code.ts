/** What the command ends with; `minimcp --help` documents them. */
export const exitCode = {
  ok: 0,
  failed: 1,
  usage: 2,
  /** As systemctl says it of a unit that is not active. */
  notRunning: 3,
  /** EX_CONFIG of sysexits.h: starting again with the same configuration cannot help. */
  configuration: 78,
  /** 128 + SIGINT, as shells count. */
  interrupted: 130,
} as const;
