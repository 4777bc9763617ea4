/**
 * The system call filter of a child: a classic BPF program (seccomp(2), "filter mode"), loaded by bubblewrap.
 *
 * A deny list, because an allow list for Node and any third-party server would break with each libc. It stands
 * behind namespaces and dropped capabilities and narrows the kernel that a child can reach. The choice follows the
 * default profile of Docker and the list of flatpak, plus what escapes the memory limit. Numbers are those of the
 * kernel's arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
 */

export type FilterArchitecture = "x64" | "arm64";

// errno(3); the same on both architectures.
const EPERM = 1;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;

/** `[name, number on x86_64, number on aarch64, errno]`; null where an architecture lacks the call. */
type Denied = readonly [name: string, x64: number | null, arm64: number | null, errno: number];

/**
 * EPERM says "no"; ENOSYS says "this kernel is older", and makes libraries take their ordinary path. The latter is
 * for calls that well-behaved programs try first.
 */
export const deniedCalls: readonly Denied[] = [
  // Another process's memory, registers and descriptors.
  ["ptrace", 101, 117, EPERM],
  ["process_vm_readv", 310, 270, EPERM],
  ["process_vm_writev", 311, 271, EPERM],
  ["process_madvise", 440, 440, EPERM],
  ["kcmp", 312, 272, EPERM],
  ["pidfd_getfd", 438, 438, EPERM],
  // The file tree: mounting, changing the root, opening by handle past the mount namespace.
  ["mount", 165, 40, EPERM],
  ["umount2", 166, 39, EPERM],
  ["pivot_root", 155, 41, EPERM],
  ["chroot", 161, 51, EPERM],
  ["open_tree", 428, 428, ENOSYS],
  ["move_mount", 429, 429, ENOSYS],
  ["fsopen", 430, 430, ENOSYS],
  ["fsconfig", 431, 431, ENOSYS],
  ["fsmount", 432, 432, ENOSYS],
  ["fspick", 433, 433, ENOSYS],
  ["mount_setattr", 442, 442, ENOSYS],
  ["open_tree_attr", 467, 467, ENOSYS],
  ["name_to_handle_at", 303, 264, EPERM],
  ["open_by_handle_at", 304, 265, EPERM],
  ["quotactl", 179, 60, EPERM],
  ["quotactl_fd", 443, 443, ENOSYS],
  ["swapon", 167, 224, EPERM],
  ["swapoff", 168, 225, EPERM],
  ["fanotify_init", 300, 262, EPERM],
  // New namespaces: the largest source of local privilege escalations. clone is checked by its flags below; the
  // flags of clone3 lie behind a pointer that a filter cannot read, and libc falls back to clone on ENOSYS.
  ["unshare", 272, 97, EPERM],
  ["setns", 308, 268, EPERM],
  ["clone3", 435, 435, ENOSYS],
  // Kernel machinery with a long record of holes.
  ["bpf", 321, 280, EPERM],
  ["perf_event_open", 298, 241, EPERM],
  ["userfaultfd", 323, 282, EPERM],
  ["io_uring_setup", 425, 425, ENOSYS],
  ["io_uring_enter", 426, 426, ENOSYS],
  ["io_uring_register", 427, 427, ENOSYS],
  ["lookup_dcookie", 212, 18, EPERM],
  ["nfsservctl", 180, 42, ENOSYS],
  ["_sysctl", 156, null, ENOSYS],
  ["uselib", 134, null, ENOSYS],
  ["ustat", 136, null, ENOSYS],
  ["sysfs", 139, null, ENOSYS],
  ["vmsplice", 278, 75, EPERM],
  ["move_pages", 279, 239, EPERM],
  ["migrate_pages", 256, 238, EPERM],
  // The kernel's key rings are not namespaced: keys of another user would be in reach.
  ["add_key", 248, 217, EPERM],
  ["request_key", 249, 218, EPERM],
  ["keyctl", 250, 219, EPERM],
  // The machine itself.
  ["kexec_load", 246, 104, EPERM],
  ["kexec_file_load", 320, 294, EPERM],
  ["init_module", 175, 105, EPERM],
  ["finit_module", 313, 273, EPERM],
  ["delete_module", 176, 106, EPERM],
  ["create_module", 174, null, ENOSYS],
  ["query_module", 178, null, ENOSYS],
  ["get_kernel_syms", 177, null, ENOSYS],
  ["reboot", 169, 142, EPERM],
  ["acct", 163, 89, EPERM],
  ["syslog", 103, 116, EPERM],
  ["vhangup", 153, 58, EPERM],
  ["settimeofday", 164, 170, EPERM],
  ["clock_settime", 227, 112, EPERM],
  ["clock_adjtime", 305, 266, EPERM],
  ["adjtimex", 159, 171, EPERM],
  ["sethostname", 170, 161, EPERM],
  ["setdomainname", 171, 162, EPERM],
  ["iopl", 172, null, EPERM],
  ["ioperm", 173, null, EPERM],
  ["modify_ldt", 154, null, EPERM],
  // Memory that neither RLIMIT_DATA nor a resident size counts; memfd_create also runs code from no file.
  ["memfd_create", 319, 279, EPERM],
  ["memfd_secret", 447, 447, ENOSYS],
  ["shmget", 29, 194, EPERM],
  ["msgget", 68, 186, EPERM],
  ["semget", 64, 190, EPERM],
  ["mq_open", 240, 180, EPERM],
];

const callNumbers = {
  clone: { x64: 56, arm64: 220 },
  personality: { x64: 135, arm64: 92 },
  socket: { x64: 41, arm64: 198 },
  ioctl: { x64: 16, arm64: 29 },
} as const;

// clone(2): NEWTIME is clone3 only. NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET.
const newNamespaceFlags = 0x7e020000;
// socket(2): UNIX, INET, INET6, NETLINK (getifaddrs). Others are refused: VSOCK reaches a virtual machine's host
// past every network namespace, ALG and PACKET and the rest are attack surface without a use here.
const allowedFamilies = [1, 2, 10, 16];
// ioctl_tty(2): both put characters into the input of a terminal.
const refusedIoctls = [0x5412, 0x541c];
// personality(2): 0 is what every process has, 0xffffffff asks. Others switch off address randomisation.
const allowedPersonalities = [0, 0xffffffff];

// AUDIT_ARCH_* of linux/audit.h.
const auditArchitecture = { x64: 0xc000003e, arm64: 0xc00000b7 } as const;
// System calls of the x32 ABI share x86_64's architecture value and carry this bit (seccomp(2), "Caveats").
const x32Bit = 0x40000000;

// linux/bpf_common.h and linux/seccomp.h.
const LOAD_WORD = 0x20;
const JUMP_EQUAL = 0x15;
const JUMP_GREATER_EQUAL = 0x35;
const JUMP_ANY_BIT = 0x45;
const RETURN = 0x06;
const ALLOW = 0x7fff0000;
const ERRNO = 0x00050000;
const KILL_PROCESS = 0x80000000;

// struct seccomp_data. Both architectures are little-endian, so a 64-bit argument starts with its low word; the
// arguments examined here are `int` or `unsigned long` flags whose high word the kernel ignores.
const offsetOfNumber = 0;
const offsetOfArchitecture = 4;
const offsetOfArgument = (index: number): number => 16 + 8 * index;

type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, value: number];

const load = (offset: number): Instruction => [LOAD_WORD, 0, 0, offset];
const skipUnlessEqual = (value: number, count: number): Instruction => [JUMP_EQUAL, 0, count, value];
const refuse = (errno: number): Instruction => [RETURN, 0, 0, ERRNO | errno];
const allow: Instruction = [RETURN, 0, 0, ALLOW];

/**
 * Assembles the filter.
 *
 * Each rule is a short block that either returns or falls through to the next, so no jump comes near BPF's limit of
 * 255. Length hardly matters: since Linux 5.11 the kernel remembers per call number which are always allowed.
 *
 * @returns an array of `struct sock_filter`, as `bwrap --seccomp` reads it.
 */
export function buildSeccompFilter(architecture: FilterArchitecture): Buffer {
  const program: Instruction[] = [
    load(offsetOfArchitecture),
    // A 32-bit call would carry other numbers: there is no reason for one, so it ends the process.
    [JUMP_EQUAL, 1, 0, auditArchitecture[architecture]],
    [RETURN, 0, 0, KILL_PROCESS],
    load(offsetOfNumber),
  ];
  if (architecture === "x64") program.push([JUMP_GREATER_EQUAL, 0, 1, x32Bit], refuse(ENOSYS));

  for (const [, x64, arm64, errno] of deniedCalls) {
    const number = architecture === "x64" ? x64 : arm64;
    if (number !== null) program.push(skipUnlessEqual(number, 1), refuse(errno));
  }

  program.push(
    ...whenCalled(callNumbers.clone[architecture], 0, [
      [JUMP_ANY_BIT, 0, 1, newNamespaceFlags],
      refuse(EPERM),
      allow,
    ]),
    ...whenCalled(callNumbers.personality[architecture], 0, allowOnly(allowedPersonalities, EPERM)),
    ...whenCalled(callNumbers.socket[architecture], 0, allowOnly(allowedFamilies, EAFNOSUPPORT)),
    ...whenCalled(callNumbers.ioctl[architecture], 1, [
      ...refusedIoctls.flatMap((request) => [skipUnlessEqual(request, 1), refuse(EPERM)]),
      allow,
    ]),
    allow,
  );
  return encode(program);
}

/** A block that ends by itself, run with the argument loaded when the call's number matches. */
function whenCalled(number: number, argument: number, block: readonly Instruction[]): Instruction[] {
  return [skipUnlessEqual(number, block.length + 1), load(offsetOfArgument(argument)), ...block];
}

function allowOnly(values: readonly number[], errno: number): Instruction[] {
  return [...values.flatMap((value) => [skipUnlessEqual(value, 1), allow]), refuse(errno)];
}

function encode(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8);
  for (const [index, [code, ifTrue, ifFalse, value]] of program.entries()) {
    const offset = index * 8;
    bytes.writeUInt16LE(code, offset);
    bytes.writeUInt8(ifTrue, offset + 2);
    bytes.writeUInt8(ifFalse, offset + 3);
    bytes.writeUInt32LE(value >>> 0, offset + 4);
  }
  return bytes;
}
