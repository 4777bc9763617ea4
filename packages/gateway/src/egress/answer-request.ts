import type { IncomingMessage, ServerResponse } from "node:http";

import type { Dispatcher } from "undici";

import { headerValues } from "../raw-headers.ts";
import type { Credential } from "./credential.ts";
import type { Decision } from "./decision.ts";
import { forward } from "./forward.ts";
import {
  changesMeaning,
  forwardRequestHeaders,
  namesCredential,
  presentSecret,
  rewriteLinks,
  swapCredentials,
} from "./headers.ts";
import type { Budget, EgressLimits } from "./limits.ts";
import type { BrokerOptions, Injection } from "./options.ts";
import { type Authority, readTarget } from "./read-target.ts";
import { Refusal, sendRefusal } from "./refusal.ts";
import type { Rules } from "./rules.ts";
import { answerTokenRequest } from "./token-endpoint.ts";

export interface BrokerContext {
  options: BrokerOptions;
  limits: EgressLimits;
  budget: Budget;
  rules: Rules;
  /** Null where the type has no credential. */
  keeper: { credential: Credential; injection: Injection; placeholder: string | null } | null;
  upstreamOf(host: string, port: number): Dispatcher;
}

/** A body up to this size is kept until the answer, so that a refused access token costs the child nothing. */
const replayableBytes = 64 * 1024;

/** How long the rest of a body may come after its answer. */
const dropRestMs = 5_000;

/**
 * One request of the child: judged, given its credential, forwarded, recorded.
 *
 * @param connection whom the child opened the connection to, over TLS; null for plain HTTP
 */
export async function answerRequest(
  context: BrokerContext,
  request: IncomingMessage,
  response: ServerResponse,
  connection: Authority | null,
): Promise<void> {
  const { options, rules } = context;
  const decision: Decision = {
    host: connection?.host ?? "",
    method: request.method ?? "",
    allowed: false,
    bytesOut: 0,
    bytesIn: 0,
  };
  try {
    await answer(context, request, response, connection, decision);
  } catch (error) {
    if (response.destroyed && !(error instanceof Refusal)) {
      decision.reason = "aborted";
      return;
    }
    const refusal = error instanceof Refusal ? error : new Refusal("upstreamLost", { cause: error });
    if (refusal.cause !== undefined) options.onError?.(refusal.cause);
    decision.reason = refusal.reason;
    decision.allowed &&= refusal.status !== 403;
    if (response.headersSent) {
      // Never a clean end: half an answer must not look like a whole one.
      response.destroy();
      return;
    }
    decision.status = refusal.status;
    sendRefusal(response, refusal, rules.description);
  } finally {
    options.record(decision);
    dropRest(request);
  }
}

/**
 * Reads what is left of a body that nobody wants: a client that still sends would see its connection reset before it
 * sees the answer.
 */
function dropRest(request: IncomingMessage): void {
  const { socket } = request;
  request.resume();
  if (request.complete || socket.destroyed) return;
  const timer = setTimeout(() => socket.destroy(), dropRestMs);
  // Once its answer is out, a request hears nothing of its connection's end.
  const stop = () => {
    clearTimeout(timer);
    request.off("end", stop);
    socket.off("close", stop);
  };
  request.once("end", stop);
  socket.once("close", stop);
}

async function answer(
  context: BrokerContext,
  request: IncomingMessage,
  response: ServerResponse,
  connection: Authority | null,
  decision: Decision,
): Promise<void> {
  const { rules, limits, keeper } = context;
  const { method = "", url = "", rawHeaders } = request;
  const [contentLength] = headerValues(rawHeaders, "content-length");
  const target = readTarget(url, headerValues(rawHeaders, "host"), connection);
  decision.host = target.host;
  judgeHeaders(request, keeper?.injection ?? null);
  if (keeper?.placeholder && rules.isTokenEndpoint(target, method)) {
    decision.allowed = true;
    decision.status = await answerTokenRequest(request, response, keeper.placeholder);
    return;
  }
  rules.judgeRequest(target, method);
  decision.allowed = true;

  if (Number(contentLength ?? 0) > limits.requestBytes) throw new Refusal("requestTooLarge");
  const hasBody = contentLength !== undefined || request.headers["transfer-encoding"] !== undefined;
  const isReplayable =
    (keeper?.credential.isRenewable ?? false) && (!hasBody || Number(contentLength) <= replayableBytes);
  const stream: AsyncIterable<Buffer> = request.iterator({ destroyOnReturn: false });
  const body = !hasBody ? null : isReplayable ? await readAll(stream, context.budget) : stream;
  if (Buffer.isBuffer(body)) decision.bytesOut = body.length;

  const upstream = context.upstreamOf(target.host, target.port ?? rules.portOf(target.host));
  const send = async (retriesUnauthorized: boolean): Promise<Buffer | null> => {
    const credentials = await credentialsFor(context, target.host, rawHeaders);
    try {
      const headers = [
        ...forwardRequestHeaders(rawHeaders, keeper?.injection ?? null),
        ...credentials.headers,
      ];
      const outcome = await forward(
        upstream,
        {
          method,
          path: target.pathAndQuery,
          headers: finishHeaders(headers, contentLength, credentials.secrets.length > 0),
          body,
          secrets: credentials.secrets,
          retriesUnauthorized: retriesUnauthorized && credentials.secrets.length > 0,
          adaptHeaders: (answered) => {
            if (!connection) rewriteLinks(answered, rules);
          },
        },
        response,
        { limits, budget: context.budget, decision },
      );
      return outcome === "unauthorized" ? Buffer.from(credentials.secrets[0] ?? "") : null;
    } finally {
      for (const secret of credentials.secrets) secret.fill(0);
    }
  };
  const refused = await send(isReplayable);
  if (!refused) return;
  keeper?.credential.reject(refused);
  refused.fill(0);
  await send(false);
}

/** @throws Refusal for what would change the meaning of the request behind the rules' back */
function judgeHeaders({ rawHeaders }: IncomingMessage, injection: Injection | null): void {
  const names = rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
  const credentials = names.filter((name) => namesCredential(name, injection) && name !== "cookie");
  if (names.some(changesMeaning) || new Set(credentials).size < credentials.length)
    throw new Refusal("headerNotAllowed");
}

interface Credentials {
  /** Flat. */
  headers: string[];
  /** Copies: the secret itself, and where it was encoded, what was sent. The caller fills them with zeros. */
  secrets: Buffer[];
}

async function credentialsFor(
  { keeper }: BrokerContext,
  host: string,
  rawHeaders: readonly string[],
): Promise<Credentials> {
  if (!keeper?.injection.hosts.includes(host)) return { headers: [], secrets: [] };
  const { credential, injection, placeholder } = keeper;
  // A child that shows no placeholder asks for no credential, and the key need not be opened.
  if (placeholder !== null && swapCredentials(rawHeaders, injection, placeholder, "").length === 0)
    return { headers: [], secrets: [] };
  const secret = await credential.get();
  const text = secret.toString("latin1");
  const headers =
    placeholder === null
      ? presentSecret(injection, text)
      : swapCredentials(rawHeaders, injection, placeholder, text);
  const encoded = headers.flatMap((value) => /^Basic (.*)$/i.exec(value)?.[1] ?? []);
  return { headers, secrets: [secret, ...encoded.map((value) => Buffer.from(value))] };
}

/**
 * @param isSecret whether the answer has to be searched for the secret. That takes an answer that is not compressed:
 *   more bytes from the upstream, none of which the child then has to unpack. The child could otherwise ask for gzip
 *   and find, at an upstream that repeats what it is sent, the key that it must never hold. The search knows the exact
 *   bytes only: which hosts are allowed decides whether an upstream turns them into something else.
 */
function finishHeaders(headers: string[], contentLength: string | undefined, isSecret: boolean): string[] {
  if (contentLength !== undefined) headers.push("content-length", contentLength);
  if (!isSecret) return headers;
  const kept: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (headers[i]?.toLowerCase() !== "accept-encoding") kept.push(headers[i] ?? "", headers[i + 1] ?? "");
  }
  return [...kept, "accept-encoding", "identity"];
}

async function readAll(body: AsyncIterable<Buffer>, budget: Budget): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) {
    budget.send(chunk.length);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
