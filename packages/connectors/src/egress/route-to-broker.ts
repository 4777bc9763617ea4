import { syncBuiltinESMExports } from "node:module";
import net, { type Socket, type SocketConnectOpts } from "node:net";
import tls, { type ConnectionOptions, type TLSSocket } from "node:tls";

type ConnectOptions = Partial<SocketConnectOpts> & ConnectionOptions;

/**
 * Sends every connection of this process to a host other than this one to the broker's socket instead, whichever HTTP
 * client opens it: all of Node's end in `net.Socket.prototype.connect` or `tls.connect`. The broker tells TLS from HTTP
 * by the first byte, and the host by the handshake's server name or the Host header, so nothing is resolved here.
 *
 * A convenience for unmodified servers, and no boundary: code that goes round it finds a sandbox without a network.
 */
export function routeToBroker(socketPath: string): void {
  // oxlint-disable-next-line typescript/unbound-method -- called with the socket as `this`, below
  const connectSocket = net.Socket.prototype.connect as (...args: unknown[]) => Socket;
  net.Socket.prototype.connect = function connect(this: Socket, ...args: unknown[]): Socket {
    const { options, callback } = readArguments(args);
    if (isLocal(options)) return connectSocket.apply(this, args);
    announceLookup(this, options);
    return connectSocket.call(this, { ...options, path: socketPath }, callback);
  };

  const connectTls = tls.connect as (...args: unknown[]) => TLSSocket;
  // Not left to the patch above: a TLS socket has its handle, and with it TCP or pipe, before it is connected.
  const connect = (...args: unknown[]): TLSSocket => {
    const { options, callback } = readArguments(args);
    const { host = "" } = options;
    if (options.socket || isLocal(options)) return connectTls(...args);
    // The server name is all that the broker learns of where this goes.
    const name = options.servername || host;
    const isAddress = net.isIP(name) !== 0;
    const servername = isAddress ? "" : name;
    const socket = connectTls({ ...options, servername, path: socketPath }, callback);
    announceLookup(socket, options);
    if (!isAddress) return socket;
    return socket.destroy(
      new Error(`A server in this sandbox calls hosts by their names; it was asked to call ${host}.`),
    );
  };
  tls.connect = connect;

  // For `import { connect } from "node:tls"`.
  syncBuiltinESMExports();
}

/** There is no look-up; clients with a clock for it, got among them, stop the clock at this event. */
function announceLookup(socket: Socket, { host }: ConnectOptions): void {
  process.nextTick(() => socket.emit("lookup", null, "", "", host));
}

/**
 * The forms of `net.connect` and `tls.connect`: `(options)`, `(path)` or `(port, host)`, the latter two with options
 * behind them for TLS, and a callback at the end of each.
 */
function readArguments(args: readonly unknown[]): { options: ConnectOptions; callback: unknown } {
  const [first, second] = args;
  // `net.connect` reads them itself and hands on what it has read.
  if (Array.isArray(first)) return readArguments(first);
  const last = args.at(-1);
  const callback = typeof last === "function" ? last : undefined;
  const given = args.find(
    (argument): argument is object => typeof argument === "object" && argument !== null,
  );
  if (given === first) return { options: { ...given }, callback };
  const target =
    typeof first === "string" && !(Number(first) >= 0)
      ? { path: first }
      : { port: Number(first), ...(typeof second === "string" && { host: second }) };
  return { options: { ...target, ...given }, callback };
}

const loopback = new net.BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("0.0.0.0", "ipv4");
loopback.addAddress("::1", "ipv6");
loopback.addAddress("::", "ipv6");

/** Whether a connection stays on this machine: to a Unix socket, or to a loopback address or name (RFC 6761). */
function isLocal(options: ConnectOptions): boolean {
  if ("path" in options && options.path) return true;
  const { host } = options;
  if (!host) return true;
  const version = net.isIP(host);
  if (version !== 0) return loopback.check(host, version === 6 ? "ipv6" : "ipv4");
  return /^(?:.*\.)?localhost\.?$/i.test(host);
}
