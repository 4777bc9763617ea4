import type { Implementation, ServerCapabilities } from "@modelcontextprotocol/server";

import { type Launch, ServerProcess } from "../adapter/server-process.ts";
import { splitLines } from "../adapter/split-lines.ts";
import {
  ChildGoneError,
  connectionClosed,
  internalError,
  isObject,
  isRpcError,
  type JsonObject,
  LineTooLongError,
  methodNotFound,
  parseObject,
  requestTimeout,
  RequestTimeoutError,
  RpcError,
} from "./json-rpc.ts";

/** What a stdio server said about itself in its answer to `initialize`. */
export interface ChildHello {
  serverInfo: Implementation;
  capabilities: ServerCapabilities;
  instructions?: string;
}

/** The newest revision that stdio servers speak with a handshake; a server answers with the one it knows. */
const handshakeVersion = "2025-11-25";

export interface ChildLinkOptions extends Launch {
  /** Takes one line of the adapter's own log. */
  log: (line: string) => void;
  /** Takes one line that the server wrote to its standard error; longer ones are broken at 16 KiB. */
  onStderrLine: (line: string) => void;
  /** Takes what belongs to no request: list changes, and log messages that cannot be attributed. */
  onNotification: (method: string, params: JsonObject) => void;
  /** Limit of one message of the server. Default 16 MiB. */
  maxLineBytes?: number;
  /** How long a request may stay without an answer or progress. Default 5 minutes. */
  requestTimeoutMs?: number;
  /** How long `initialize` may take. Default 30 seconds. */
  startTimeoutMs?: number;
}

export interface RequestOptions {
  /** Aborted when the client no longer waits: the server is told by `notifications/cancelled`. */
  signal?: AbortSignal;
  /** Takes the progress and log messages of this request, with the client's own progress token. */
  onNotification?: (method: string, params: JsonObject) => void;
  timeoutMs?: number;
}

interface PendingRequest {
  /** What the client called its progress; undefined when it did not ask for any. */
  progressToken: unknown;
  onNotification: (method: string, params: JsonObject) => void;
  timeout: NodeJS.Timeout;
  resolve: (result: JsonObject) => void;
  reject: (error: RpcError) => void;
}

/**
 * One stdio server, shared by all clients of an instance and spoken to in raw messages: nothing is checked
 * against a schema, so whatever a server adds to the protocol reaches the client unchanged.
 *
 * Every client counts its requests from 0, so ids and progress tokens are replaced by numbers of this link
 * on the way in and put back on the way out.
 */
export class ChildLink implements AsyncDisposable {
  readonly #options: ChildLinkOptions;
  readonly #server: ServerProcess;
  readonly #pending = new Map<number, PendingRequest>();
  readonly #maxLineBytes: number;
  #lastId = 0;
  #gone: ChildGoneError | undefined;

  /** Fulfilled with how the server ended ("exited with code 1"), once all that it wrote has been read. */
  readonly exited: Promise<string>;

  /** Starts the server. A command that cannot be started shows in `exited`, not as a throw. */
  constructor(options: ChildLinkOptions) {
    this.#options = options;
    this.#maxLineBytes = options.maxLineBytes ?? 16 * 1024 * 1024;
    this.#server = new ServerProcess(options, options.onStderrLine);
    this.exited = this.#server.exited.then((how) => {
      this.#refuseRequests(`The MCP server ${how}; it is being started again, repeat the request`);
      return how;
    });
    this.#server.stdout.on("data", this.#createReader());
  }

  /**
   * The MCP handshake, done once for all clients. It announces no client capability: sampling, elicitation
   * and roots need a way back to one particular client, which a shared server cannot name.
   *
   * @throws RpcError when the server refuses, ends, or does not answer within `startTimeoutMs`.
   */
  async initialize(): Promise<ChildHello> {
    const result = await this.request(
      "initialize",
      {
        protocolVersion: handshakeVersion,
        capabilities: {},
        clientInfo: { name: "minimcp", version: "0.0.0" },
      },
      { timeoutMs: this.#options.startTimeoutMs ?? 30_000 },
    );
    if (!isHello(result)) {
      throw new RpcError(internalError, "The server's answer to initialize lacks serverInfo or capabilities");
    }
    this.#write({ method: "notifications/initialized" });
    return result;
  }

  /**
   * Sends one request and gives the server's result as it came.
   *
   * @throws RpcError the server's own error, with its code, message and data.
   * @throws ChildGoneError | LineTooLongError | RequestTimeoutError when there is no answer to give.
   */
  async request(method: string, params: unknown, options: RequestOptions = {}): Promise<JsonObject> {
    const { signal, onNotification = () => {} } = options;
    const timeoutMs = options.timeoutMs ?? this.#options.requestTimeoutMs ?? 5 * 60_000;
    if (this.#gone) throw this.#gone;
    signal?.throwIfAborted();

    const id = ++this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<JsonObject>();
    const timeout = setTimeout(() => {
      const waited = `The MCP server gave no answer and no progress for ${timeoutMs / 1000} s`;
      this.#cancel(id, new RequestTimeoutError(requestTimeout, waited));
    }, timeoutMs);
    const abort = (): void => this.#cancel(id, new RpcError(connectionClosed, "The client went away"));
    const { progressToken, sent } = replaceProgressToken(params, id);
    this.#pending.set(id, { progressToken, onNotification, timeout, resolve, reject });
    signal?.addEventListener("abort", abort, { once: true });
    this.#write({ id, method, params: sent });
    try {
      return await promise;
    } finally {
      clearTimeout(timeout);
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Ends the server at once, whatever signals it ignores. */
  kill(): void {
    this.#server.kill();
  }

  /** Answers all open requests with an error, asks the server to end, and kills it when it does not. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#refuseRequests("The MCP server is being stopped");
    await this.#server[Symbol.asyncDispose]();
  }

  #createReader(): (chunk: Buffer) => void {
    // The two ends of a line over the limit: one of them tells which request it would have answered.
    let start: string | undefined;
    let end = "";
    return splitLines(this.#maxLineBytes, (piece, endsLine) => {
      if (start === undefined && endsLine) {
        this.#receive(piece.toString());
        return;
      }
      start ??= piece.toString("latin1", 0, 64);
      end = (end + piece.subarray(-64).toString("latin1")).slice(-64);
      if (endsLine) {
        this.#refuseLongLine(start, end);
        start = undefined;
        end = "";
      }
    });
  }

  #receive(line: string): void {
    const message = parseObject(line);
    if (message === undefined) {
      this.#options.log(
        `the server wrote a line that is no JSON-RPC message: ${JSON.stringify(line.slice(0, 200))}`,
      );
      return;
    }
    const { id, method } = message;
    if (typeof method !== "string") this.#settle(id, message);
    else if (id === undefined) this.#notify(method, isObject(message["params"]) ? message["params"] : {});
    else this.#answer(id, method);
  }

  #settle(id: unknown, { result, error }: JsonObject): void {
    const request = this.#take(id);
    if (request === undefined) return; // cancelled or timed out meanwhile
    if (isObject(result)) request.resolve(result);
    else if (isRpcError(error)) request.reject(new RpcError(error.code, error.message, error.data));
    else request.reject(new RpcError(internalError, "The MCP server's answer has neither result nor error"));
  }

  #notify(method: string, params: JsonObject): void {
    if (method === "notifications/progress") {
      const request = this.#pending.get(Number(params["progressToken"]));
      request?.timeout.refresh();
      if (request?.progressToken !== undefined) {
        request.onNotification(method, { ...params, progressToken: request.progressToken });
      }
      return;
    }
    // Over stdio a log message names no request. With one open it is that one's; with several, nobody's.
    const [only, ...others] = method === "notifications/message" ? this.#pending.values() : [];
    if (only !== undefined && others.length === 0) only.onNotification(method, params);
    else this.#options.onNotification(method, params);
  }

  #answer(id: unknown, method: string): void {
    if (method === "ping") this.#write({ id, result: {} });
    else this.#write({ id, error: { code: methodNotFound, message: `No client here answers ${method}` } });
  }

  #refuseLongLine(start: string, end: string): void {
    const error = new LineTooLongError(
      internalError,
      `The MCP server's answer is over ${this.#maxLineBytes} bytes; ask it for less at once`,
    );
    this.#options.log(`the server wrote a line over ${this.#maxLineBytes} bytes`);
    const id = /^\{"jsonrpc":"2\.0","id":(\d+),/.exec(start)?.[1] ?? /,"id":(\d+)\}\s*$/.exec(end)?.[1];
    const request = this.#take(Number(id));
    if (request !== undefined) request.reject(error);
    else this.#rejectAll(error); // whichever it answered, none may wait for it until its timeout
  }

  #cancel(requestId: number, reason: RpcError): void {
    const request = this.#take(requestId);
    if (request === undefined) return;
    this.#write({ method: "notifications/cancelled", params: { requestId, reason: reason.message } });
    request.reject(reason);
  }

  #refuseRequests(message: string): void {
    this.#gone ??= new ChildGoneError(connectionClosed, message);
    this.#rejectAll(this.#gone);
  }

  #rejectAll(error: RpcError): void {
    for (const id of this.#pending.keys()) this.#take(id)?.reject(error);
  }

  #take(id: unknown): PendingRequest | undefined {
    const request = this.#pending.get(Number(id));
    this.#pending.delete(Number(id));
    return request;
  }

  #write(message: JsonObject): void {
    this.#server.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
  }
}

function replaceProgressToken(params: unknown, id: number): { progressToken: unknown; sent: unknown } {
  const meta = isObject(params) ? params["_meta"] : undefined;
  if (!isObject(params) || !isObject(meta) || meta["progressToken"] === undefined) {
    return { progressToken: undefined, sent: params };
  }
  return {
    progressToken: meta["progressToken"],
    sent: { ...params, _meta: { ...meta, progressToken: id } },
  };
}

function isHello(result: JsonObject): result is JsonObject & ChildHello {
  return isObject(result["serverInfo"]) && isObject(result["capabilities"]);
}
