import { METHODS } from "node:http";

import type { BrokerOptions, EgressRule } from "./options.ts";
import { type Authority, readAuthority, type Target } from "./read-target.ts";
import { Refusal, type RefusalReason } from "./refusal.ts";

/** Both would make the upstream, or the broker, send back or carry what it must not. */
const forbiddenMethods = new Set(["CONNECT", "TRACE"]);

/**
 * The allowlist of an instance.
 *
 * @throws TypeError when a declaration is not exact: the instance must not start with rules that mean something else
 */
export class Rules {
  readonly #rules: readonly EgressRule[];
  readonly #tokenEndpoint: { host: string; path: string } | null;
  /** What is allowed, in words. */
  readonly description: string;

  constructor({ rules, credential }: Pick<BrokerOptions, "rules" | "credential">) {
    for (const rule of rules) requireExact(rule);
    const hosts = new Set(rules.map(({ host }) => host));
    const stray = credential?.inject.hosts.find((host) => !hosts.has(host));
    if (stray !== undefined)
      throw new TypeError(
        `the credential is for ${stray}, which no egress rule names: add a rule, or remove the host`,
      );
    this.#rules = rules;
    this.#tokenEndpoint = credential?.tokenEndpoint ?? null;
    this.description = describe(rules);
  }

  /** The port that a request means which names none. */
  portOf(host: string): number {
    const ports = this.#rules.filter((rule) => rule.host === host).map(({ port }) => port);
    return ports.includes(443) ? 443 : (ports[0] ?? 443);
  }

  names(host: string): boolean {
    return this.#rules.some((rule) => rule.host === host);
  }

  isTokenEndpoint({ host, pathAndQuery }: Target, method: string): boolean {
    const endpoint = this.#tokenEndpoint;
    return method === "POST" && host === endpoint?.host && pathAndQuery === endpoint.path;
  }

  /** Judges whom a tunnel may be opened to. */
  judgeConnection({ host, port }: Authority): RefusalReason | null {
    if (host === this.#tokenEndpoint?.host && port === 443) return null;
    const ofHost = this.#rules.filter((rule) => rule.host === host);
    if (ofHost.length === 0) return "hostNotAllowed";
    return ofHost.some((rule) => rule.port === port) ? null : "portNotAllowed";
  }

  /** @throws Refusal with what is not allowed about it */
  judgeRequest(target: Target, method: string): void {
    const port = target.port ?? this.portOf(target.host);
    const ofHost = this.#rules.filter((rule) => rule.host === target.host);
    if (ofHost.length === 0) throw new Refusal("hostNotAllowed");
    const ofPort = ofHost.filter((rule) => rule.port === port);
    if (ofPort.length === 0) throw new Refusal("portNotAllowed");
    const ofMethod = ofPort.filter((rule) => rule.methods.includes(method));
    if (ofMethod.length === 0) throw new Refusal("methodNotAllowed");
    const isAdmitted = ofMethod.some((rule) =>
      rule.pathPrefixes.some((prefix) => target.readings.every((reading) => isUnder(prefix, reading))),
    );
    if (!isAdmitted) throw new Refusal("pathNotAllowed");
  }
}

function isUnder(prefix: string, path: string): boolean {
  return path === prefix || path.startsWith(prefix.endsWith("/") ? prefix : `${prefix}/`);
}

function requireExact({ host, port, methods, pathPrefixes }: EgressRule): void {
  const expect = (isSo: boolean, what: string) => {
    if (!isSo) throw new TypeError(`the egress rule for ${host}: ${what}`);
  };
  let authority: Authority | null = null;
  try {
    authority = readAuthority(host);
  } catch {
    // Said below, with the rule's name.
  }
  expect(authority?.host === host && authority.port === null, "host must be an exact name in lower case");
  expect(Number.isInteger(port) && port > 0 && port < 65_536, "port must be a number from 1 to 65535");
  expect(methods.length > 0 && pathPrefixes.length > 0, "name at least one method and one path prefix");
  expect(
    methods.every((method) => METHODS.includes(method) && !forbiddenMethods.has(method)),
    "methods must be HTTP methods in upper case, other than CONNECT and TRACE",
  );
  expect(
    pathPrefixes.every(
      (prefix) => /^\/[\w.~!$&'()*+,=:@/-]*$/.test(prefix) && !/\/(?:\/|\.{1,2}(?:\/|$))/.test(prefix),
    ),
    "path prefixes must begin with a slash and hold nothing encoded and no empty or dot segment",
  );
}

const describedRules = 10;

function describe(rules: readonly EgressRule[]): string {
  if (rules.length === 0) return "nothing";
  const described = rules.slice(0, describedRules).map(({ host, port, methods, pathPrefixes }) => {
    const origin = port === 443 ? `https://${host}` : `https://${host}:${port}`;
    return pathPrefixes.map((prefix) => `${methods.join(", ")} ${origin}${prefix}`).join("; ");
  });
  return [...described, ...(rules.length > describedRules ? ["…"] : [])].join("; ");
}
