import {
  CreateInstance,
  createInstance,
  FollowLog,
  followLog,
  getInstance,
  getReceipt,
  InstanceId,
  ListInstances,
  listInstances,
  listTypes,
  NoInput,
  reportOwnUsage,
  ReportOwnUsage,
  RenewInstance,
  renewInstance,
  revokeInstance,
  watchInstance,
  watchInstances,
} from "@minimcp/core";
import type { TRPCRouterRecord } from "@trpc/server";

import { trackLines } from "../track-lines.ts";
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
  usage: procedure("mcp:read:own")
    .input(ReportOwnUsage)
    .query(({ ctx, input }) => reportOwnUsage(ctx, input)),
  receipt: procedure("mcp:read:own")
    .input(InstanceId)
    .query(({ ctx, input }) => getReceipt(ctx, input)),
  renew: procedure("mcp:create")
    .input(RenewInstance)
    .mutation(({ ctx, input }) => renewInstance(ctx, input)),
  revoke: procedure("mcp:delete:own")
    .input(InstanceId)
    .mutation(({ ctx, input }) => revokeInstance(ctx, input)),
  watch: procedure("mcp:read:own")
    .input(InstanceId)
    .subscription(({ ctx, input }) => watchInstance(ctx, input)),
  watchAll: procedure("mcp:read:own")
    .input(NoInput)
    .subscription(({ ctx }) => watchInstances(ctx)),
  logs: procedure("mcp:read:own")
    .input(FollowLog)
    .subscription(({ ctx, input }) => trackLines(followLog(ctx, input))),
} satisfies TRPCRouterRecord;
