import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What becomes of requests: they are answered, wait, or find nobody. */
export type RelayMode = "pass" | "hold" | "away";

/** Stands between the dashboard and its API, counts, and can be an API that is slow or gone. */
export interface SwitchableRelay extends AsyncDisposable {
  url: string;
  /** Away also cuts off what is open. */
  switchTo(mode: RelayMode): void;
  /** The paths of every request so far, `/trpc/mcp.list` and the like. */
  asked: string[];
  /** The paths of those whose answer goes on. */
  open(): string[];
}

export async function startSwitchableRelay(target: string): Promise<SwitchableRelay> {
  let mode: RelayMode = "pass";
  const asked: string[] = [];
  const underWay = new Map<ServerResponse, string>();
  const waiting = new Set<() => void>();

  function relay(incoming: IncomingMessage, response: ServerResponse): void {
    const { host } = new URL(target);
    const { method, headers } = incoming;
    const onward = request(target + incoming.url, { method, headers: { ...headers, host } }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    response.on("close", () => onward.destroy());
    incoming.pipe(onward);
  }

  const server = createServer((incoming, response) => {
    const path = incoming.url?.split("?", 1)[0] ?? "";
    asked.push(path);
    underWay.set(response, path);
    response.on("close", () => underWay.delete(response));
    if (mode === "away") response.destroy();
    else if (mode === "hold") waiting.add(() => relay(incoming, response));
    else relay(incoming, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    asked,
    open: () => [...underWay.values()].toSorted(),
    switchTo(next) {
      mode = next;
      if (mode === "hold") return;
      if (mode === "away") server.closeAllConnections();
      else for (const go of waiting) go();
      waiting.clear();
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
