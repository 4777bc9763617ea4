import {
  CreateInvitation,
  createInvitation,
  InstanceId,
  listAllInstances,
  ListInstances,
  ListUsers,
  listUsers,
  reportUsage,
  ReportUsage,
  terminateInstance,
} from "@minimcp/core";
import type { TRPCRouterRecord } from "@trpc/server";

import { procedure } from "../trpc.ts";

const users = {
  list: procedure("user:read:any")
    .input(ListUsers)
    .query(({ ctx, input }) => listUsers(ctx, input)),
} satisfies TRPCRouterRecord;

const invitations = {
  create: procedure("user:invite")
    .input(CreateInvitation)
    .mutation(({ ctx, input }) => createInvitation(ctx, input)),
} satisfies TRPCRouterRecord;

const instances = {
  list: procedure("mcp:read:any")
    .input(ListInstances)
    .query(({ ctx, input }) => listAllInstances(ctx, input)),
  terminate: procedure("mcp:terminate:any")
    .input(InstanceId)
    .mutation(({ ctx, input }) => terminateInstance(ctx, input)),
  usage: procedure("mcp:read:any")
    .input(ReportUsage)
    .query(({ ctx, input }) => reportUsage(ctx, input)),
} satisfies TRPCRouterRecord;

export const admin = { users, invitations, instances } satisfies TRPCRouterRecord;
