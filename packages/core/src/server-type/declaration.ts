import { apiKeyProviders } from "@minimcp/db/schema";
import { z } from "zod";

const Name = z.string().min(1).max(100);

/**
 * What a kind of MCP server is, as data: the control plane shows it and checks input against it, the worker starts
 * by it. Nothing in it is code.
 */
export const ServerTypeDeclaration = z.strictObject({
  id: z.string().regex(/^[a-z][a-z0-9-]{0,49}$/),
  version: z.string().min(1).max(50),
  title: Name,
  description: z.string().min(1).max(1000),
  /** Which bundle of the worker runs it. */
  bundle: z.string().min(1).max(50),
  /** Whose key it needs; null for a type that works without one. */
  provider: z.enum(apiKeyProviders).nullable(),
  /** The upstream hosts it may reach; none means that it reaches nothing. */
  hosts: z.array(z.string().max(253)).max(50),
  tools: z.array(z.strictObject({ name: Name, description: z.string().max(2000) })).max(500),
  /** What an owner may set, by key. A key becomes nothing but what the declaration says; never an environment name. */
  config: z.record(
    z.string().regex(/^[a-z][a-z0-9_]{0,49}$/),
    z.strictObject({ description: z.string().max(500), argument: z.string().max(50) }),
  ),
});
export type ServerTypeDeclaration = z.infer<typeof ServerTypeDeclaration>;
