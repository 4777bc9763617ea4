import { z } from "zod";

import { CredentialDeclaration, EgressRule, EnvironmentName } from "./egress.ts";

const Name = z.string().min(1).max(100);
const mebibytes = z.int().min(1).max(1_048_576);

/** Where a server needs other limits than the worker's own; what is left out is the worker's. */
const Limits = z
  .strictObject({
    /** All request bodies of an instance together, to upstream hosts, and all answers. */
    egressOutMiB: mebibytes,
    egressInMiB: mebibytes,
    /** Of all processes of an instance together. Below the least, Node and the adapter alone come near it. */
    memoryMiB: z.int().min(192).max(8_192),
    /** Processors that an instance may keep busy: 0.5 is half of one. */
    cpuCores: z.number().min(0.1).max(8),
  })
  .partial();

/**
 * What a kind of MCP server is, as data: the control plane shows it and checks input against it, the worker starts
 * by it. Nothing in it is code.
 */
export const ServerTypeDeclaration = z
  .strictObject({
    id: z.string().regex(/^[a-z][a-z0-9-]{0,49}$/),
    version: z.string().min(1).max(50),
    title: Name,
    description: z.string().min(1).max(1000),
    /** Which bundle of the worker runs it. */
    bundle: z.string().min(1).max(50),
    /** Whether it is a program of Node's, whose calls can be led to the broker from inside; others get a proxy on loopback. */
    runtime: z.enum(["node", "other"]).default("node"),
    /** `tcp` for a server that can only listen on a port. */
    listens: z.enum(["socket", "tcp"]).default("socket"),
    /** What it may call upstream; nothing means that it reaches nothing. */
    egress: z.array(EgressRule).max(50).default([]),
    /** The key it needs; null for a type that works without one. */
    credential: CredentialDeclaration.nullable().default(null),
    /** Variables that every instance of it is given. */
    env: z.record(EnvironmentName, z.string().max(1000)).default({}),
    limits: Limits.default({}),
    tools: z.array(z.strictObject({ name: Name, description: z.string().max(2000) })).max(500),
    /** What an owner may set, by key. A key becomes nothing but what the declaration says; never an environment name. */
    config: z.record(
      z.string().regex(/^[a-z][a-z0-9_]{0,49}$/),
      z.strictObject({ description: z.string().max(500), argument: z.string().max(50) }),
    ),
  })
  .superRefine(({ credential, egress, env }, check) => {
    if (credential === null) return;
    const reached = new Set(egress.map(({ host }) => host));
    for (const host of credential.inject.hosts) {
      if (reached.has(host)) continue;
      const message = `names ${host}, which no egress rule admits`;
      check.addIssue({ code: "custom", path: ["credential", "inject", "hosts"], message });
    }
    const names = [
      ...Object.keys(env),
      ...(credential.placeholder?.env ?? []),
      ...(credential.placeholder?.files ?? []).map((file) => file.env),
    ];
    if (new Set(names).size < names.length) {
      check.addIssue({ code: "custom", path: ["env"], message: "sets a variable twice" });
    }
  });
export type ServerTypeDeclaration = z.infer<typeof ServerTypeDeclaration>;

/** The upstream hosts that a server may reach, each once. */
export function hostsOf({ egress }: Pick<ServerTypeDeclaration, "egress">): string[] {
  return [...new Set(egress.map(({ host }) => host))];
}
