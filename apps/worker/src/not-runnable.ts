/** An instance cannot run on this node. The message is for its owner: no path, no system message. */
export class NotRunnable extends Error {
  override readonly name = "NotRunnable";
}
