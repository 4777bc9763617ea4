import { describe, expectTypeOf, it } from "vitest";

import {
  type AppRouter,
  type ClientOptions,
  type CreatedInstance,
  type ErrorReason,
  type InstanceView,
  isReason,
  type MiniMcpClient,
  type RouterInputs,
  type RouterOutputs,
  type TokenStore,
} from "../src/index.ts";

// These are checked by the compiler; at run time they only have to load.
describe("the types of the client", () => {
  it("give every procedure its input and output", () => {
    expectTypeOf<RouterInputs["auth"]["signIn"]>().toEqualTypeOf<{
      email: string;
      password: string;
      as?: "tokens" | "session" | undefined;
    }>();
    expectTypeOf<RouterInputs["mcp"]["create"]["expirationMinutes"]>().toEqualTypeOf<number>();
    expectTypeOf<RouterOutputs["mcp"]["create"]>().toEqualTypeOf<CreatedInstance>();
    expectTypeOf<MiniMcpClient["mcp"]["get"]["query"]>().returns.resolves.toEqualTypeOf<InstanceView>();
    expectTypeOf<keyof Pick<MiniMcpClient, keyof AppRouter["_def"]["record"]>>().toEqualTypeOf<
      "admin" | "apiKey" | "auth" | "mcp"
    >();
  });

  it("narrow an error to the reasons asked for", () => {
    const error: unknown = new Error("any");
    if (isReason(error, "mcp.notFound", "client.network")) {
      expectTypeOf(error.reason).toEqualTypeOf<"mcp.notFound" | "client.network">();
    }
    expectTypeOf<"mcp.notFound">().toExtend<ErrorReason>();
    // @ts-expect-error -- no server and no client ever says this
    isReason(error, "mcp.notfound");
  });

  it("refuse what cannot work", () => {
    expectTypeOf<{ type: string; expirationMinutes: string }>().not.toExtend<RouterInputs["mcp"]["create"]>();
    expectTypeOf<MiniMcpClient["mcp"]>().not.toHaveProperty("destroy");
    expectTypeOf<{ url: string; store: TokenStore }>().toExtend<ClientOptions>();
    expectTypeOf<{ url: string; store: TokenStore; token: string }>().not.toExtend<ClientOptions>();
  });
});
