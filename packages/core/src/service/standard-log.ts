import { type DestinationStream, pino } from "pino";

/** What is wrong with a log that cannot be written: the system's code, or null once it is written again. */
export interface LogTrouble {
  code: string | null;
  /** How many lines could not be kept until they could be written. */
  lostLines: number;
}

/** So much is kept while nothing can be written; what comes after that is lost. */
const maxKeptBytes = 256 * 1024;

/**
 * Standard output as the destination of a log. A disk that is full must not end a process that serves: lines are kept
 * for a while, then dropped and counted, and with each new one it is tried again.
 * @param onTrouble told once when it cannot be written, and once when it can again
 */
export function openStandardLog(onTrouble: (trouble: LogTrouble) => void): DestinationStream {
  // Written at once: what pino writes later it insists on at exit, and a full disk would keep the process from ending.
  const stream = pino.destination({ fd: 1, sync: true, maxLength: maxKeptBytes });
  let trouble: LogTrouble | undefined;
  stream.on("error", ({ code = "unknown" }: NodeJS.ErrnoException) => {
    // Whoever read it is gone; pino is told to be silent then, and there is nobody to tell.
    if (trouble !== undefined || code === "EPIPE") return;
    trouble = { code, lostLines: 0 };
    onTrouble(trouble);
  });
  stream.on("drop", () => {
    if (trouble !== undefined) trouble.lostLines += 1;
  });
  stream.on("write", () => {
    if (trouble === undefined) return;
    const { lostLines } = trouble;
    trouble = undefined;
    onTrouble({ code: null, lostLines });
  });
  return stream;
}
