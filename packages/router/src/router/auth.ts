import { me, NoInput, Refresh, refresh, SignIn, signIn, signOut, SignUp, signUp } from "@minimcp/core";
import type { TRPCRouterRecord } from "@trpc/server";

import { procedure } from "../trpc.ts";

export const auth = {
  signUp: procedure("public")
    .input(SignUp)
    .mutation(({ ctx, input }) => signUp(ctx, input)),
  signIn: procedure("public")
    .input(SignIn)
    .mutation(({ ctx, input }) => signIn(ctx, input)),
  refresh: procedure("public")
    .input(Refresh)
    .mutation(({ ctx, input }) => refresh(ctx, input)),
  signOut: procedure("own")
    .input(NoInput)
    .mutation(({ ctx }) => signOut(ctx)),
  me: procedure("own")
    .input(NoInput)
    .query(({ ctx }) => me(ctx)),
} satisfies TRPCRouterRecord;
