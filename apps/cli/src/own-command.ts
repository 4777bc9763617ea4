/**
 * A command line of ours as it can be typed in a clone, where no `minimcp` is on the PATH. npm is what every clone has
 * been started with.
 */
export function ownCommand(args: string): string {
  return `npm run minimcp -- ${args}`;
}
