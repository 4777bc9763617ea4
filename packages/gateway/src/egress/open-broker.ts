import { type Dispatcher, Pool } from "undici";

import { answerRequest, type BrokerContext } from "./answer-request.ts";
import { Credential } from "./credential.ts";
import { createDialer } from "./dialer.ts";
import { openFrontDoor } from "./front-door.ts";
import { Budget, defaultEgressLimits } from "./limits.ts";
import type { BrokerOptions } from "./options.ts";
import { createPlaceholder } from "./placeholder.ts";
import { Rules } from "./rules.ts";
import { createTlsAuthority } from "./tls-authority.ts";

/** The only way out of one instance's sandbox. Disposing of it ends every connection at once and zeroes the secret. */
export interface Broker extends AsyncDisposable {
  socketPath: string;
  /** PEM, for NODE_EXTRA_CA_CERTS, SSL_CERT_FILE and the like. */
  caCertificate: string;
  /** What a third-party child is given as its key; null for a child that holds nothing. */
  placeholder: string | null;
}

/**
 * Opens the egress broker of an instance: it judges each request of the child by the type's rules, adds the credential
 * outside the sandbox, and goes to the upstream over TLS that is verified here.
 *
 * @throws TypeError when the declaration is not exact; an errno error when the socket cannot be bound
 */
export async function openBroker(options: BrokerOptions): Promise<Broker> {
  const limits = { ...defaultEgressLimits, ...options.limits };
  const now = options.now ?? Date.now;
  const rules = new Rules(options);
  await using stack = new AsyncDisposableStack();

  const upstreams = new Map<string, Pool>();
  stack.defer(async () => {
    await Promise.all([...upstreams.values()].map((pool) => pool.destroy()));
  });
  const answers = new Set<Promise<void>>();
  // Every request has been recorded when the broker is gone.
  stack.defer(async () => {
    await Promise.all(answers);
  });
  const dial = createDialer(options, limits);
  const context: BrokerContext = {
    options,
    limits,
    budget: new Budget(limits),
    rules,
    keeper: null,
    upstreamOf: (host, port) => upstreams.get(`${host}:${port}`) ?? openUpstream(host, port),
  };
  function openUpstream(host: string, port: number): Dispatcher {
    // One pool a host, of one instance: no connection is ever used for another host or another instance's secret.
    const pool = new Pool(`https://${host}:${port}`, {
      connect: dial,
      connections: limits.connections,
      pipelining: 1,
      allowH2: false,
      maxHeaderSize: limits.headerBytes,
      // The broker has its own clocks.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    upstreams.set(`${host}:${port}`, pool);
    return pool;
  }

  if (options.credential) {
    const credential = stack.use(new Credential(options.credential, limits.credentialTimeoutMs, now));
    const { inject: injection, placeholder } = options.credential;
    context.keeper = { credential, injection, placeholder: placeholder && createPlaceholder(placeholder) };
  }
  const authority = await createTlsAuthority(now);
  stack.use(
    await openFrontDoor({
      socketPath: options.socketPath,
      limits,
      rules,
      authority,
      onRequest: (request, response, connection) => {
        const answered = answerRequest(context, request, response, connection).finally(() =>
          answers.delete(answered),
        );
        answers.add(answered);
      },
      onRefused: ({ reason, status }, host, method) =>
        options.record({ host, method, allowed: false, reason, status, bytesOut: 0, bytesIn: 0 }),
    }),
  );
  const resources = stack.move();
  return {
    socketPath: options.socketPath,
    caCertificate: authority.certificate,
    placeholder: context.keeper?.placeholder ?? null,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}
