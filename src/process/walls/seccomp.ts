/**
 * The system calls that workerd may make, as a program for the kernel's filter (classic BPF, as
 * `bwrap --seccomp` reads it). All others answer ENOSYS, so that the C library can fall back.
 *
 * The list was made by watching workerd under load with strace, and then widened by calls that do
 * no more than those it has. It holds no fork, no symlink, no mount, no namespaces, no tracing, no
 * keyrings, no io_uring, no bpf.
 */
export function seccompFilter(architecture: string = process.arch): Buffer | null {
  // Numbers differ between architectures. A list that was not tried would break Workers.
  return architecture === "x64" ? program() : null;
}

type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, value: number];

function program(): Buffer {
  const instructions = [
    load(ARCHITECTURE),
    equals(AUDIT_ARCH_X86_64, 1, 0),
    answer(KILL_PROCESS),
    load(NUMBER),
    // The x32 calls are the same ones under other numbers.
    atLeast(X32_BIT, 0, 1),
    answer(errno(ENOSYS)),
    ...socketsOf(FAMILIES),
    // Threads, but no processes.
    equals(CLONE, 0, 4),
    load(FIRST_ARGUMENT),
    anyBit(CLONE_THREAD, 0, 1),
    answer(ALLOW),
    answer(errno(EPERM)),
    // Typing into the terminal that the platform was started from.
    equals(IOCTL, 0, 4),
    load(SECOND_ARGUMENT),
    equals(TIOCSTI, 0, 1),
    answer(errno(EPERM)),
    answer(ALLOW),
    ...ALLOWED.flatMap((number) => [equals(number, 0, 1), answer(ALLOW)]),
    answer(errno(ENOSYS)),
  ];
  const bytes = Buffer.alloc(instructions.length * 8);
  for (const [index, [code, ifTrue, ifFalse, value]] of instructions.entries()) {
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(ifTrue, index * 8 + 2);
    bytes.writeUInt8(ifFalse, index * 8 + 3);
    bytes.writeUInt32LE(value >>> 0, index * 8 + 4);
  }
  return bytes;
}

/** A socket of one of these families, and of no other. */
function socketsOf(families: readonly number[]): Instruction[] {
  return [
    equals(SOCKET, 0, families.length + 3),
    load(FIRST_ARGUMENT),
    ...families.map((family, index) => equals(family, families.length - index, 0)),
    answer(errno(EAFNOSUPPORT)),
    answer(ALLOW),
  ];
}

function load(offset: number): Instruction {
  return [0x20, 0, 0, offset];
}

function equals(value: number, ifTrue: number, ifFalse: number): Instruction {
  return [0x15, ifTrue, ifFalse, value];
}

function atLeast(value: number, ifTrue: number, ifFalse: number): Instruction {
  return [0x35, ifTrue, ifFalse, value];
}

function anyBit(value: number, ifTrue: number, ifFalse: number): Instruction {
  return [0x45, ifTrue, ifFalse, value];
}

function answer(value: number): Instruction {
  return [0x06, 0, 0, value];
}

function errno(number: number): number {
  return 0x0005_0000 + number;
}

const ALLOW = 0x7fff_0000;
const KILL_PROCESS = 0x8000_0000;
const [EPERM, ENOSYS, EAFNOSUPPORT] = [1, 38, 97];

/** Offsets in `struct seccomp_data`. */
const NUMBER = 0;
const ARCHITECTURE = 4;
const FIRST_ARGUMENT = 16;
const SECOND_ARGUMENT = 24;

const AUDIT_ARCH_X86_64 = 0xc000_003e;
const X32_BIT = 0x4000_0000;
const CLONE_THREAD = 0x1_0000;
const TIOCSTI = 0x5412;

/** AF_UNIX, AF_INET, AF_INET6, and AF_NETLINK, by which the C library finds out whether there is IPv6. */
const FAMILIES = [1, 2, 10, 16];

const [IOCTL, SOCKET, CLONE] = [16, 41, 56];

/** From asm/unistd_64.h. */
// prettier-ignore
const ALLOWED_BY_NAME = {
  read: 0, write: 1, open: 2, close: 3, stat: 4, fstat: 5, lstat: 6, poll: 7, lseek: 8, mmap: 9, mprotect: 10, munmap: 11, brk: 12,
  rt_sigaction: 13, rt_sigprocmask: 14, rt_sigreturn: 15, pread64: 17, pwrite64: 18, readv: 19, writev: 20, access: 21, pipe: 22,
  select: 23, sched_yield: 24, mremap: 25, mincore: 27, madvise: 28, dup: 32, dup2: 33, nanosleep: 35, getpid: 39, sendfile: 40,
  connect: 42, accept: 43, sendto: 44, recvfrom: 45, sendmsg: 46, recvmsg: 47, shutdown: 48, bind: 49, listen: 50, getsockname: 51,
  getpeername: 52, socketpair: 53, setsockopt: 54, getsockopt: 55, execve: 59, exit: 60, wait4: 61, kill: 62, uname: 63, fcntl: 72,
  fsync: 74, fdatasync: 75, ftruncate: 77, getcwd: 79, rename: 82, mkdir: 83, rmdir: 84, unlink: 87, readlink: 89, fchmod: 91, fchown: 93, umask: 95, gettimeofday: 96,
  getrusage: 98, sysinfo: 99, times: 100, getuid: 102, getgid: 104, geteuid: 107, getegid: 108, getppid: 110, rt_sigpending: 127,
  rt_sigtimedwait: 128, rt_sigsuspend: 130, sigaltstack: 131, getpriority: 140, setpriority: 141, sched_getparam: 143,
  sched_setscheduler: 144, sched_getscheduler: 145, mlock: 149, munlock: 150, prctl: 157, arch_prctl: 158, gettid: 186, time: 201,
  futex: 202, sched_setaffinity: 203, sched_getaffinity: 204, getdents64: 217, set_tid_address: 218, restart_syscall: 219,
  clock_gettime: 228, clock_getres: 229, clock_nanosleep: 230, exit_group: 231, epoll_wait: 232, epoll_ctl: 233, tgkill: 234,
  waitid: 247, openat: 257, mkdirat: 258, newfstatat: 262, unlinkat: 263, renameat: 264, linkat: 265, readlinkat: 267, faccessat: 269,
  pselect6: 270, ppoll: 271, set_robust_list: 273, get_robust_list: 274, splice: 275, utimensat: 280, epoll_pwait: 281,
  timerfd_create: 283, fallocate: 285, timerfd_settime: 286, timerfd_gettime: 287, accept4: 288, signalfd4: 289, eventfd2: 290,
  epoll_create1: 291, dup3: 292, pipe2: 293, preadv: 295, pwritev: 296, recvmmsg: 299, prlimit64: 302, sendmmsg: 307, getcpu: 309,
  sched_getattr: 315, renameat2: 316, getrandom: 318, memfd_create: 319, membarrier: 324, copy_file_range: 326, pkey_mprotect: 329, pkey_alloc: 330,
  pkey_free: 331, statx: 332, rseq: 334, close_range: 436, faccessat2: 439, epoll_pwait2: 441, futex_waitv: 449,
};
const ALLOWED: readonly number[] = Object.values(ALLOWED_BY_NAME);
