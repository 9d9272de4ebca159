import { CocosError } from '../../errors.ts';

/**
 * The system call filter of the sandbox, as classic BPF for x86-64. It is a deny list: an algorithm can be any
 * program, and an allow list would break most of them. Namespaces and dropped capabilities provide the isolation; the
 * filter removes kernel interfaces that a computation does not need.
 */

// Instruction codes (linux/bpf_common.h) and return values (linux/seccomp.h).
const LOAD_WORD = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_EQUAL = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_AT_LEAST = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const JUMP_ANY_BIT = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN = 0x06; // BPF_RET | BPF_K
const ALLOW = 0x7fff_0000;
const KILL_PROCESS = 0x8000_0000;
const ERRNO = 0x0005_0000;

const EPERM = 1;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;

// struct seccomp_data: number, architecture, instruction pointer, six arguments of 64 bits.
const NUMBER = 0;
const ARCHITECTURE = 4;
const argumentLow = (index: number) => 16 + 8 * index;

const AUDIT_ARCH_X86_64 = 0xc000_003e;
/** Call numbers from here on belong to the x32 ABI, a second entry to every call. */
const X32_BIT = 0x4000_0000;

const CLONE = 56;
const CLONE3 = 435;
const IOCTL = 16;
const SOCKET = 41;
const SOCKETPAIR = 53;
const AF_UNIX = 1;
/** Terminal input injection: TIOCSTI and TIOCLINUX. */
const INJECTING_IOCTLS = [0x5412, 0x541c];
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
const NAMESPACE_FLAGS = 0x7e02_0000;

/** Calls that return EPERM, by number on x86-64. */
const DENIED: Readonly<Record<string, number>> = {
  // Namespaces and mounts
  mount: 165,
  umount2: 166,
  pivot_root: 155,
  chroot: 161,
  unshare: 272,
  setns: 308,
  open_tree: 428,
  move_mount: 429,
  fsopen: 430,
  fsconfig: 431,
  fsmount: 432,
  fspick: 433,
  mount_setattr: 442,
  open_tree_attr: 467,
  name_to_handle_at: 303,
  open_by_handle_at: 304,
  // Other processes
  ptrace: 101,
  process_vm_readv: 310,
  process_vm_writev: 311,
  kcmp: 312,
  pidfd_getfd: 438,
  process_madvise: 440,
  // Kernel interfaces with a history of escapes
  bpf: 321,
  perf_event_open: 298,
  userfaultfd: 323,
  io_uring_setup: 425,
  io_uring_enter: 426,
  io_uring_register: 427,
  add_key: 248,
  request_key: 249,
  keyctl: 250,
  modify_ldt: 154,
  lookup_dcookie: 212,
  uselib: 134,
  nfsservctl: 180,
  // The machine
  kexec_load: 246,
  kexec_file_load: 320,
  init_module: 175,
  finit_module: 313,
  delete_module: 176,
  iopl: 172,
  ioperm: 173,
  reboot: 169,
  swapon: 167,
  swapoff: 168,
  acct: 163,
  quotactl: 179,
  quotactl_fd: 443,
  settimeofday: 164,
  clock_settime: 227,
  sethostname: 170,
  setdomainname: 171,
  syslog: 103,
  vhangup: 153,
};

type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, value: number];

const fail = (errno: number): Instruction => [RETURN, 0, 0, ERRNO | errno];
const allow: Instruction = [RETURN, 0, 0, ALLOW];

/** Instructions for one call; they return, or fall through with the call number reloaded. */
function whenCall(number: number, body: readonly Instruction[]): Instruction[] {
  return [[JUMP_EQUAL, 0, body.length, number], ...body];
}

/**
 * The filter program for `bwrap --seccomp`, 8 bytes per instruction (struct sock_filter).
 * @throws CocosError SANDBOX_UNAVAILABLE on an architecture other than x86-64
 */
export function seccompFilter(architecture: string = process.arch): Uint8Array {
  if (architecture !== 'x64') {
    throw new CocosError(
      'SANDBOX_UNAVAILABLE',
      `There is no system call filter for the architecture '${architecture}'; the sandbox needs x86-64.`,
    );
  }
  const socketFamily: Instruction[] = [
    [LOAD_WORD, 0, 0, argumentLow(0)],
    [JUMP_EQUAL, 0, 1, AF_UNIX],
    allow,
    // Every family but AF_UNIX. AF_VSOCK matters most, since a network namespace does not isolate it.
    fail(EAFNOSUPPORT),
  ];
  return assemble([
    [LOAD_WORD, 0, 0, ARCHITECTURE],
    [JUMP_EQUAL, 1, 0, AUDIT_ARCH_X86_64],
    [RETURN, 0, 0, KILL_PROCESS],
    [LOAD_WORD, 0, 0, NUMBER],
    [JUMP_AT_LEAST, 0, 1, X32_BIT],
    fail(ENOSYS),
    ...whenCall(SOCKET, socketFamily),
    ...whenCall(SOCKETPAIR, socketFamily),
    ...whenCall(CLONE, [
      [LOAD_WORD, 0, 0, argumentLow(0)],
      [JUMP_ANY_BIT, 0, 1, NAMESPACE_FLAGS],
      fail(EPERM),
      allow,
    ]),
    // clone3 passes its flags in memory, which a filter cannot read. Without it the C library falls back to clone.
    ...whenCall(CLONE3, [fail(ENOSYS)]),
    ...whenCall(IOCTL, [
      [LOAD_WORD, 0, 0, argumentLow(1)],
      ...INJECTING_IOCTLS.flatMap((request): Instruction[] => [[JUMP_EQUAL, 0, 1, request], fail(EPERM)]),
      allow,
    ]),
    ...Object.values(DENIED).flatMap((number) => whenCall(number, [fail(EPERM)])),
    allow,
  ]);
}

function assemble(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * 8);
  const view = new DataView(bytes.buffer);
  program.forEach(([code, ifTrue, ifFalse, value], index) => {
    view.setUint16(index * 8, code, true);
    view.setUint8(index * 8 + 2, ifTrue);
    view.setUint8(index * 8 + 3, ifFalse);
    view.setUint32(index * 8 + 4, value, true);
  });
  return bytes;
}
