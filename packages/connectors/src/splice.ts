import type { Socket } from "node:net";

/**
 * Joins two connections: bytes both ways, at the pace of the slower side. The end of one is the end of the other once
 * that has what was on its way. A connection that is half closed is not kept: HTTP's peers take it for a hang-up, and
 * an open stream must not outlive its reader.
 */
export function splice(one: Socket, other: Socket): void {
  join(one, other);
  join(other, one);
}

function join(from: Socket, to: Socket): void {
  // What went wrong here is the end of the connection over there.
  from.on("error", () => {});
  from.once("end", () => to.destroySoon());
  from.once("close", () => to.destroySoon());
  from.pipe(to, { end: false });
}
