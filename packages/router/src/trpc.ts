import {
  anonymous,
  appendAudit,
  type Context,
  databaseActor,
  DatabaseUnavailable,
  Forbidden,
  isPermission,
  isPermitted,
  type OpenStream,
  type Permission,
  type Principal,
  requireUser,
  Unauthenticated,
} from "@minimcp/core";
import { initTRPC, TRPCError } from "@trpc/server";

import type { RouterContext } from "./context.ts";
import { answerFor, type ErrorAnswer, toWireError } from "./errors.ts";
import { refuseHostileShape } from "./hostile-shape.ts";
import { transformer } from "./transformer.ts";

/** Exported, so that the router's declarations can name it. */
export interface ProcedureMeta {
  permission: Permission;
}

/**
 * The context is `object` here and a RouterContext inside: the router's type is published with the client SDK, and
 * must not carry the server's insides with it.
 */
const t = initTRPC
  .context<object>()
  .meta<ProcedureMeta>()
  .create({
    transformer,
    sse: {
      // Proxies close connections that are silent for a minute or less, and a reader notices one that has died.
      ping: { enabled: true, intervalMs: 15_000 },
      client: { reconnectAfterInactivityMs: 40_000 },
      // A reader comes again after that, so that a peer that vanished without a word is not kept for long.
      maxDurationMs: 60 * 60_000,
    },
    errorFormatter({ shape, error, ctx }) {
      const answer = answerFor(error);
      return {
        ...shape,
        message: answer.message,
        // Named one by one: the default shape would add a stack in development.
        data: {
          code: shape.data.code,
          httpStatus: shape.data.httpStatus,
          path: shape.data.path,
          reason: answer.reason,
          issues: answer.issues,
          requestId: (ctx as RouterContext | undefined)?.request.id ?? null,
          retryAfterSeconds: answer.retryAfterSeconds ?? null,
        },
      };
    },
  });

export const { router, createCallerFactory } = t;

/**
 * A procedure that needs a permission: the only way to make one. In this order a call is reported (outermost, so
 * that denials are too), identified, permitted, and only then parsed.
 */
export function procedure(permission: Permission) {
  return t.procedure.meta({ permission }).use(async ({ ctx, path, type, next, signal, getRawInput }) => {
    const routerContext = ctx as RouterContext;
    let principal: Principal = anonymous;
    let stream: OpenStream | undefined;
    const result = await (async () => {
      try {
        // A public procedure does not look at credentials: a client with a dead token must be able to sign in.
        if (permission !== "public") principal = await routerContext.authenticate();
        requirePermission(principal, permission);
        refuseHostileShape(await getRawInput());
        if (type === "subscription") stream = openStream(routerContext, principal, signal);
      } catch (error) {
        return { ok: false as const, error: asTrpcError(error) };
      }
      const context: Context = {
        ...routerContext,
        principal,
        signal: AbortSignal.any([signal, stream?.signal].filter((given) => given !== undefined)),
      };
      return await next({ ctx: context });
    })();
    const where = { procedure: path, requestId: routerContext.request.id };
    if (result.ok && stream !== undefined) {
      // What a subscription resolves with, as the compiler makes sure where one is written.
      const values = result.data as AsyncIterable<unknown>;
      const relayed = relay(values, stream, (error) => routerContext.reportDefect(error, where));
      return { ...result, data: new WatchedIterator(relayed) };
    }
    if (result.ok) return result;
    stream?.close();
    const answer = answerFor(result.error);
    if (answer.kind === "internal") {
      routerContext.reportDefect(result.error.cause ?? result.error, where);
    }
    if (!neverBegan(result.error))
      await auditRefusal(routerContext, principal, { procedure: path, type, answer });
    throw toWireError(result.error);
  });
}

/** @throws LimitReached, Unavailable */
function openStream(
  { streams }: RouterContext,
  principal: Principal,
  signal: AbortSignal | undefined,
): OpenStream {
  const stream = streams.open(principal);
  // Whoever leaves before the first value never begins to iterate, and so never comes to the end of it.
  signal?.addEventListener("abort", () => stream.close(), { once: true });
  return stream;
}

/** Hands on the values of a subscription. An error in their midst is told as one before them would be. */
async function* relay(
  values: AsyncIterable<unknown>,
  stream: OpenStream,
  reportDefect: (error: unknown) => void,
): AsyncGenerator<unknown, void> {
  try {
    yield* values;
  } catch (error) {
    // The reader has left, or shall come again: nothing to tell.
    if (error instanceof Error && error.name === "AbortError") throw error;
    const failure = asTrpcError(error);
    if (answerFor(failure).kind === "internal") reportDefect(error);
    throw toWireError(failure);
  } finally {
    stream.close();
  }
}

/**
 * tRPC asks for the next value before its reader has taken the last one. If the stream is over by then, nobody waits for
 * the answer any more, and a rejection that nobody waits for ends the process: with it, anybody could who opens a stream,
 * reads nothing, and hangs up.
 */
class WatchedIterator implements AsyncIterableIterator<unknown, void> {
  readonly #values: AsyncGenerator<unknown, void>;

  constructor(values: AsyncGenerator<unknown, void>) {
    this.#values = values;
  }

  next(): Promise<IteratorResult<unknown, void>> {
    const next = this.#values.next();
    next.catch(() => undefined);
    return next;
  }

  return(): Promise<IteratorResult<unknown, void>> {
    return this.#values.return();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/**
 * @throws Unauthenticated when nobody has signed in, Forbidden when somebody has who may not, PreconditionFailed when
 *   the product itself calls what is about one person's things
 */
function requirePermission(principal: Principal, permission: Permission): void {
  if (isPermitted(principal, permission)) return;
  if (principal.kind === "system") requireUser({ principal });
  if (principal.kind === "anonymous") {
    throw new Unauthenticated("auth.signInRequired", "This needs a sign-in. Send an access token.");
  }
  throw new Forbidden("permission.denied", `This needs the permission ${permission}, which you do not have.`);
}

/**
 * Whether the database let nothing begin. Then nothing failed half-way, and asking it for one more connection to say so
 * would make everybody wait twice as long just when there are too few.
 */
function neverBegan({ cause }: TRPCError): boolean {
  return (
    cause instanceof DatabaseUnavailable &&
    ["poolExhausted", "cannotConnect", "closed"].includes(cause.reason)
  );
}

/**
 * Writes what was refused or failed to the audit trail, in a transaction of its own: the call's own was rolled back.
 * Denials are there for whoever looks for probing; malformed input is not, and neither are calls without a
 * credential, which anybody could send by the million.
 */
async function auditRefusal(
  ctx: RouterContext,
  principal: Principal,
  { procedure: action, type, answer }: { procedure: string; type: string; answer: ErrorAnswer },
): Promise<void> {
  const denied =
    answer.kind === "forbidden" ||
    (answer.kind === "notFound" && answer.reason !== "input.notFound") ||
    answer.reason === "auth.badCredentials";
  const failed =
    type === "mutation" && ["conflict", "precondition", "unavailable", "internal"].includes(answer.kind);
  if (!denied && !failed) return;
  try {
    await ctx.db.as(databaseActor(principal), (tx) =>
      appendAudit(tx, ctx.request, {
        action,
        resourceType: action.split(".", 1)[0] ?? action,
        result: denied ? "denied" : "failure",
        errorMessage: answer.reason,
      }),
    );
  } catch (error) {
    // The call fails either way; that its failure went unrecorded must not be lost too.
    ctx.reportDefect(error, { procedure: `${action} (audit)`, requestId: ctx.request.id });
  }
}

function asTrpcError(error: unknown): TRPCError {
  if (error instanceof TRPCError) return error;
  return new TRPCError({ code: "INTERNAL_SERVER_ERROR", cause: error });
}

/**
 * Refuses a router in which a procedure does not say who may call it.
 * @throws Error naming every such procedure
 */
export function assertPermissions(appRouter: { _def: { procedures: Record<string, unknown> } }): void {
  const bare = Object.entries(appRouter._def.procedures)
    .filter(([, candidate]) => {
      const meta = (candidate as { _def?: { meta?: { permission?: unknown } } })._def?.meta;
      return !isPermission(meta?.permission);
    })
    .map(([path]) => path);
  if (bare.length > 0) {
    throw new Error(
      `These procedures name no permission: ${bare.join(", ")}. Make them with procedure("<permission>").`,
    );
  }
}
