import {
  ApiKeyId,
  CreateApiKey,
  createApiKey,
  deleteApiKey,
  getApiKey,
  listApiKeys,
  NoInput,
} from "@minimcp/core";
import type { TRPCRouterRecord } from "@trpc/server";

import { procedure } from "../trpc.ts";

export const apiKey = {
  create: procedure("apikey:manage:own")
    .input(CreateApiKey)
    .mutation(({ ctx, input }) => createApiKey(ctx, input)),
  list: procedure("apikey:manage:own")
    .input(NoInput)
    .query(({ ctx }) => listApiKeys(ctx)),
  get: procedure("apikey:manage:own")
    .input(ApiKeyId)
    .query(({ ctx, input }) => getApiKey(ctx, input)),
  delete: procedure("apikey:manage:own")
    .input(ApiKeyId)
    .mutation(({ ctx, input }) => deleteApiKey(ctx, input)),
} satisfies TRPCRouterRecord;
