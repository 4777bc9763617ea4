import {
  CreateInstance,
  createInstance,
  getInstance,
  getReceipt,
  InstanceId,
  ListInstances,
  listInstances,
  listTypes,
  NoInput,
  revokeInstance,
} from "@minimcp/core";
import type { TRPCRouterRecord } from "@trpc/server";

import { procedure } from "../trpc.ts";

export const mcp = {
  types: procedure("mcp:read:own")
    .input(NoInput)
    .query(({ ctx }) => listTypes(ctx)),
  create: procedure("mcp:create")
    .input(CreateInstance)
    .mutation(({ ctx, input }) => createInstance(ctx, input)),
  list: procedure("mcp:read:own")
    .input(ListInstances)
    .query(({ ctx, input }) => listInstances(ctx, input)),
  get: procedure("mcp:read:own")
    .input(InstanceId)
    .query(({ ctx, input }) => getInstance(ctx, input)),
  receipt: procedure("mcp:read:own")
    .input(InstanceId)
    .query(({ ctx, input }) => getReceipt(ctx, input)),
  revoke: procedure("mcp:delete:own")
    .input(InstanceId)
    .mutation(({ ctx, input }) => revokeInstance(ctx, input)),
} satisfies TRPCRouterRecord;
