const lineFeed = 0x0a;

/**
 * Cuts a byte stream into lines without ever holding more than `maxLineBytes`. A line that is longer arrives
 * in pieces, so what an endless line may cost is bounded whatever the writer does.
 *
 * @param onPiece receives each line without its newline; `endsLine` is false for every piece of a too long
 *   line but its last.
 * @returns the consumer to feed with each chunk of the stream.
 */
export function splitLines(
  maxLineBytes: number,
  onPiece: (piece: Buffer, endsLine: boolean) => void,
): (chunk: Buffer) => void {
  let held: Buffer[] = [];
  let heldBytes = 0;

  function emit(endsLine: boolean): void {
    const piece = Buffer.concat(held, heldBytes);
    held = [];
    heldBytes = 0;
    onPiece(piece, endsLine);
  }

  return (chunk) => {
    let start = 0;
    while (start < chunk.length) {
      const newline = chunk.indexOf(lineFeed, start);
      const lineEnd = newline === -1 ? chunk.length : newline;
      const end = Math.min(lineEnd, start + maxLineBytes - heldBytes);
      held.push(chunk.subarray(start, end));
      heldBytes += end - start;
      if (end < lineEnd) {
        emit(false);
        start = end;
      } else {
        if (newline !== -1) emit(true);
        start = lineEnd + 1;
      }
    }
  };
}
