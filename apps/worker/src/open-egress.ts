import {
  type ClaimedInstance,
  KeyReleaseError,
  type NodeIdentity,
  openInstanceKey,
  type ServerTypeDeclaration,
  type Vault,
} from "@minimcp/core";
import type { Database } from "@minimcp/db";
import { type BrokerOptions, type Decision, openBroker } from "@minimcp/gateway";
import type { ChildSpec, Pool } from "@minimcp/pool";
import type { Logger } from "pino";

export interface EgressOptions {
  db: Database;
  identity: NodeIdentity;
  pool: Pool;
  vault: Pick<Vault, "unwrapDataKey" | "openApiKey">;
  /** For development and tests only: hosts that live on this machine. */
  loopbackUpstreams: BrokerOptions["loopbackUpstreams"];
  log: Logger;
}

export interface EgressEvents {
  onDecision(decision: Decision): void;
  /** The stored key does not open; the message is for its owner. */
  onDamagedKey(message: string): void;
}

const mebibyte = 1024 * 1024;
const certificateName = "egress-ca.pem";
const placeholderMark = "{{placeholder}}";

/** What a child is given so that it finds its way out, and something that looks like its key. */
export type EgressEquipment = Required<Pick<ChildSpec, "env" | "files" | "egressSocket">>;

/**
 * Opens the broker of an instance: its only way out, with the key added outside the sandbox. The key is opened at the
 * first request that needs it.
 * @param resources what ends with the claim; the broker, its connections and the key are among them from then on
 */
export async function openEgress(
  { db, identity, pool, vault, loopbackUpstreams, log }: EgressOptions,
  { instanceId, fence }: Pick<ClaimedInstance, "instanceId" | "fence">,
  declaration: ServerTypeDeclaration,
  resources: AsyncDisposableStack,
  events: EgressEvents,
): Promise<EgressEquipment> {
  const { credential, egress, limits } = declaration;
  const socket = pool.nameEgressSocket();
  const broker = resources.use(
    await openBroker({
      socketPath: socket.path,
      rules: egress,
      credential: credential && {
        inject: credential.inject,
        placeholder: credential.placeholder && credential.placeholder.form,
        tokenEndpoint: credential.tokenEndpoint,
        read: () =>
          openInstanceKey(db, identity, { instanceId, fence }, vault).catch((error: unknown) => {
            const isDamaged = error instanceof KeyReleaseError && error.reason === "damaged";
            if (isDamaged) events.onDamagedKey(error.message);
            throw error;
          }),
      },
      limits: {
        ...(limits.egressOutMiB !== undefined && { instanceBytesOut: limits.egressOutMiB * mebibyte }),
        ...(limits.egressInMiB !== undefined && { instanceBytesIn: limits.egressInMiB * mebibyte }),
      },
      ...(loopbackUpstreams && { loopbackUpstreams }),
      record: (decision) => events.onDecision(decision),
      onError: (error) =>
        log.warn({ err: error, instanceId }, "a call of an instance to its upstream failed"),
    }),
  );
  const given = placeholdersFor(declaration, broker.placeholder, (name) => pool.filePath(instanceId, name));
  return {
    egressSocket: socket.path,
    files: { ...given.files, [certificateName]: broker.caCertificate },
    env: {
      ...given.env,
      MCP_EGRESS_SOCKET: socket.inside,
      MCP_EGRESS_CA_FILE: pool.filePath(instanceId, certificateName),
    },
  };
}

/** Where a third-party server looks for its key, it finds the placeholder. */
function placeholdersFor(
  { credential }: ServerTypeDeclaration,
  placeholder: string | null,
  pathOf: (name: string) => string,
): Pick<EgressEquipment, "env" | "files"> {
  const env: Record<string, string> = {};
  const files: Record<string, string> = {};
  const declared = credential?.placeholder;
  if (!declared || placeholder === null) return { env, files };
  for (const name of declared.env ?? []) env[name] = placeholder;
  for (const file of declared.files ?? []) {
    files[file.path] = file.content.replaceAll(placeholderMark, placeholder);
    env[file.env] = pathOf(file.path);
  }
  return { env, files };
}
