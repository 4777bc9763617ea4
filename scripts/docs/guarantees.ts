/** A promise that MiniMCP keeps when it is attacked. Tests that prove it begin their name with its id. */
export interface Guarantee {
  id: string;
  /** One sentence, for a security engineer. */
  sentence: string;
  /** Where it holds only in part, and what to do then. */
  limit?: string;
}

const withoutNamespaces = "Needs namespaces: `strict` or `contained`.";

export const guarantees: readonly Guarantee[] = [
  {
    id: "ISO-1",
    sentence:
      "Every process of an instance runs under a host uid that is not root's and no other instance's.",
    limit: "At `contained` it is the worker's own uid, and the level says so.",
  },
  {
    id: "ISO-2",
    sentence:
      "An instance has no capability, cannot gain one, has no group but its own, and runs behind a system call filter.",
    limit: "At `hardened` there is no filter.",
  },
  {
    id: "ISO-3",
    sentence:
      "An instance sees its own processes alone and reaches neither memory, variables nor directory of any other.",
    limit: "At `hardened` it sees that others exist.",
  },
  {
    id: "ISO-4",
    sentence:
      "Tracing, reading another process's memory, mounting, namespaces, bpf, key rings and io_uring are refused by the kernel.",
    limit: withoutNamespaces,
  },
  { id: "ISO-5", sentence: "A set-uid program gives an instance nothing." },
  {
    id: "ISO-6",
    sentence:
      "An instance finds the variables that its type declares in its environment, and none of the worker's.",
  },
  {
    id: "ISO-7",
    sentence: "An instance inherits its listening socket, and no other open file or socket.",
    limit: withoutNamespaces,
  },
  {
    id: "ISO-8",
    sentence:
      "Key files, secrets of the host and whatever belongs to another instance are out of an instance's reach.",
    limit: "At `hardened` a program that an instance starts can read what every user of the host can read.",
  },
  {
    id: "ISO-9",
    sentence:
      "An instance cannot change its code, its runtime or the host's programs; it writes to a /tmp of bounded size.",
    limit: "At `hardened` a program that an instance starts can write where every user of the host can.",
  },
  {
    id: "ISO-11",
    sentence:
      "No port, no address, no local socket of the host and no metadata service can be reached from inside.",
    limit: withoutNamespaces,
  },
  { id: "ISO-12", sentence: "No secret, password or token is in any command line of the host." },
  {
    id: "ISO-13",
    sentence:
      "When a worker is killed, no process of its instances is left two seconds later, and its successor sets the records right.",
    limit: "At `hardened`, what an instance detached from itself ends when a worker starts.",
  },
  {
    id: "ISO-14",
    sentence:
      "An instance that ignores every signal is killed after a short grace, with all that it forked away from itself.",
  },
  {
    id: "ISO-18",
    sentence:
      "In production nothing starts without the sandbox, not even when it disappears while the worker runs.",
  },
  { id: "ISO-20", sentence: "An instance that crashes leaves no core dump." },
  {
    id: "RES-1",
    sentence:
      "An instance that takes too much memory ends less than a tenth above its limit, and its owner is told why.",
  },
  {
    id: "RES-2",
    sentence: "A fork bomb is stopped inside, while the API and other instances go on answering.",
  },
  { id: "RES-3", sentence: "Threads are bounded together with processes." },
  {
    id: "RES-4",
    sentence:
      "An instance that keeps processors busy is held down to its share, then ended, and its owner is told why.",
  },
  { id: "RES-5", sentence: "Open files run out inside an instance, and nowhere else." },
  { id: "RES-6", sentence: "A file or directory without end meets its limit before the host's disk does." },
  { id: "RES-7", sentence: "WebAssembly and fetch work within the limits." },
  {
    id: "RES-9",
    sentence: "A hundred starts and stops leave nothing behind: no process, socket, file, uid or lease.",
  },
  { id: "RES-11", sentence: "An instance ends within a second of its deadline, also while the API is down." },
  { id: "PORT-1", sentence: "A port that something else listens on is passed over." },
  {
    id: "PORT-2",
    sentence:
      "No two instances get the same port, however many are created at once, and creation is refused when there are none left.",
  },
  { id: "PORT-3", sentence: "A port that a killed worker had given out is free for its successor." },
  {
    id: "PORT-5",
    sentence: "A server that needs a port listens on loopback only, or is not started.",
  },
  {
    id: "PORT-6",
    sentence: "A server that needs a port cannot be called past the gateway and its tokens.",
    limit:
      "Needs namespaces. At `hardened`, a server that can only listen on a port is open to every local process, without a token: run such types at `strict` or `contained`.",
  },
  {
    id: "EGR-1",
    sentence:
      "An instance reaches the hosts, methods and paths of its type; all else is denied and recorded.",
  },
  { id: "EGR-2", sentence: "A name that resolves to an address that is not public is denied." },
  { id: "EGR-4", sentence: "A redirect to a private address leads nowhere." },
  {
    id: "EGR-6",
    sentence:
      "Nothing gets out past the broker: neither TCP nor UDP, no raw socket, no question to a name server.",
    limit: withoutNamespaces,
  },
  { id: "EGR-7", sentence: "A tunnel to another port of an allowed host is denied." },
  { id: "EGR-8", sentence: "Without its broker an instance reaches nothing." },
  {
    id: "LEASE-1",
    sentence:
      "A second after its deadline nothing of an instance is left: no process, socket, stream, way out or token; one receipt and one audit event say how it ended.",
  },
  { id: "LEASE-2", sentence: "A stream that is held open all the time does not put off the deadline." },
  {
    id: "LEASE-3",
    sentence:
      "A worker that was killed leaves no process, and its successor serves the same addresses and tokens, except what is due.",
  },
  { id: "LEASE-4", sentence: "The deadline is kept while the API is down." },
  {
    id: "LEASE-5",
    sentence: "The deadline is kept while the database is down, and afterwards no record is missing.",
  },
  {
    id: "LEASE-6",
    sentence:
      "A clock that is set forward ends what is due, and one that is set back brings nothing to life again.",
  },
  { id: "LEASE-8", sentence: "Two hundred creations and revocations at once leave all counts in agreement." },
];
