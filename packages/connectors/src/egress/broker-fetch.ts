import {
  Agent,
  type Dispatcher,
  fetch as undiciFetch,
  Request as UndiciRequest,
  type RequestInit as UndiciRequestInit,
} from "undici";

export interface BrokerFetch extends AsyncDisposable {
  /**
   * For octokit's `request.fetch`, gaxios' `fetchImplementation`, or by itself: `https://api.github.com/…` as it stands
   * in the upstream's documentation, without a credential. It is an upstream's own answer that comes back, or the
   * broker's refusal: a 403 with `x-minimcp-egress: denied`.
   */
  fetch: typeof fetch;
}

/**
 * The `fetch` of a first-party connector: every request goes to the broker's socket as plain HTTP, where the broker adds
 * the credential and TLS. Redirects and links of an answer lead there too, whatever scheme they have.
 *
 * It is undici's own, since Node's takes no dispatcher of another undici.
 */
export function createBrokerFetch({ socketPath }: { socketPath: string }): BrokerFetch {
  const agent = new Agent({ connect: { socketPath }, allowH2: false });
  const dispatcher = agent.compose(overPlainHttp);
  // The types are the same twice: once as Node declares them, once as undici does.
  const brokerFetch = async (input: string | URL | Request, init?: UndiciRequestInit) =>
    await undiciFetch(
      input instanceof Request ? new UndiciRequest(input.url, input as unknown as UndiciRequestInit) : input,
      { ...init, dispatcher },
    );
  return {
    fetch: brokerFetch as unknown as typeof fetch,
    [Symbol.asyncDispose]: () => agent.destroy(),
  };
}

/** The socket does not leave the machine; what leaves it is TLS again. */
function overPlainHttp(dispatch: Dispatcher.Dispatch): Dispatcher.Dispatch {
  return (options, handler) =>
    dispatch({ ...options, origin: String(options.origin).replace(/^https:/, "http:") }, handler);
}
