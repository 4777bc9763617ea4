import { rename, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";

/** A bound, listening Unix socket that this process never accepts from: it is handed to a child as a descriptor. */
export interface Listener extends AsyncDisposable {
  readonly path: string;
  readonly descriptor: number;
  /** Gives up this process's copy once the child has its own, so that the socket dies with the child. */
  release(): Promise<void>;
}

/**
 * Binds the socket of a child in the worker. A child that owned the directory could put a link to a host socket in
 * its place and the worker's connect would follow it.
 *
 * No umask is involved (it belongs to the whole process and would race with other starts): `directory` is 0700, which
 * closes the socket to everyone else from its first instant.
 *
 * @param directory a 0700 directory of this user.
 * @param name file name, unique in the directory.
 */
export async function bindListener(directory: string, name: string): Promise<Listener> {
  const path = join(directory, `${name}.sock`);
  const temporary = join(directory, `${name}.tmp`);
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(temporary, resolve);
  });
  const release = async (): Promise<void> => {
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  try {
    // libuv unlinks the path that it bound when the handle closes; under its final name the socket survives that.
    await rename(temporary, path);
    return {
      path,
      descriptor: descriptorOf(server),
      release,
      [Symbol.asyncDispose]: async () => {
        await release();
        await rm(path, { force: true });
      },
    };
  } catch (error) {
    await release();
    throw error;
  }
}

/** Node shows the descriptor of a listening socket only on its internal handle; `listen({ fd })` is its counterpart. */
function descriptorOf(server: object): number {
  const handle: unknown = Reflect.get(server, "_handle");
  const descriptor: unknown =
    typeof handle === "object" && handle !== null ? Reflect.get(handle, "fd") : undefined;
  if (typeof descriptor !== "number" || descriptor < 0)
    throw new Error("this Node does not show the listener's descriptor");
  return descriptor;
}
