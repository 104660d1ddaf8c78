import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { makeMountPoints, takeBack } from "./mounts.ts";
import { FILTER_FD, INFO_FD, type Sandbox } from "./sandbox-kinds.ts";

/**
 * A sandbox of bubblewrap's: namespaces of its own for files, processes, users, and IPC, no
 * capabilities, no way to new ones, and a filter of system calls. It works for ordinary users.
 *
 * The network is the machine's: `connect()` with TLS works in no other way, and which addresses
 * workerd may reach is its own configuration's business.
 * @param limit whether the kernel is told, too, that there may be no namespaces within: it takes a
 * /proc/sys that can be written to, which containers and services hardened by systemd do not have.
 * The filter, where there is one, forbids them as well
 */
export async function bubblewrap(
  bwrap: string,
  program: string,
  { filter, limit }: { readonly filter: Buffer | null; readonly limit: boolean },
): Promise<Sandbox> {
  const version = await run(bwrap, ["--version"]).catch(() => "bubblewrap");
  const around = [
    ["--die-with-parent", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"],
    ["--unshare-cgroup-try", "--cap-drop", "ALL"],
    !limit || / 0\.[0-7]\./.test(version) ? [] : ["--disable-userns"],
    ...[...(await librariesOf(program)), ...READABLE].map((path) => ["--ro-bind-try", path, path]),
    ["--ro-bind", program, PROGRAM, "--symlink", PROGRAM, "/proc/self/exe"],
    ["--dev-bind", "/dev/urandom", "/dev/urandom", "--dev-bind", "/dev/null", "/dev/null"],
  ].flat();
  const seccomp = filter === null ? "no seccomp filter on this architecture" : "seccomp";
  return {
    kind: "bubblewrap",
    summary: `sandboxed (${version}, ${seccomp}, no capabilities; the machine's network)`,
    async prepare(folder, mounts = []) {
      await mkdir(join(folder, "o"), { recursive: true, mode: 0o700 });
      await makeMountPoints(folder, mounts);
    },
    give: (_, mounts) => takeBack(mounts),
    enter: (folder, mounts = []) => ({
      file: bwrap,
      args: [
        around,
        ["--ro-bind", folder, HOME, "--bind", `${folder}/o`, `${HOME}/o`, "--chdir", HOME],
        mounts.flatMap((mount) => ["--bind", mount.folder, `${HOME}/${mount.at}`]),
        // One process less, and signals reach the program itself.
        ["--as-pid-1", "--info-fd", String(INFO_FD)],
        filter === null ? [] : ["--seccomp", String(FILTER_FD)],
        ["--remount-ro", "/", "--", PROGRAM],
      ].flat(),
      cwd: "/",
      filter,
      tellsPid: true,
    }),
  };
}

const PROGRAM = "/workerd";
/** Where the program finds its folder. */
const HOME = "/w";

/** The public roots, in the places of several distributions, and what names are looked up with. */
const READABLE = [
  "/etc/ssl/certs",
  "/etc/ssl/cert.pem",
  "/etc/pki/tls/certs",
  "/etc/pki/ca-trust/extracted",
  "/usr/share/ca-certificates",
  "/etc/resolv.conf",
  "/etc/hosts",
  "/etc/nsswitch.conf",
];

/** The loader says it, with the paths of this machine. */
async function librariesOf(program: string): Promise<readonly string[]> {
  const listed = await run(program, [], { LD_TRACE_LOADED_OBJECTS: "1" }).catch(() => "");
  return listed.split("\n").flatMap((line) => /(\/\S+) \(0x[0-9a-f]+\)$/.exec(line)?.[1] ?? []);
}

async function run(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { stdout } = await promisify(execFile)(file, args, { env, timeout: 10_000 });
  return stdout.trim();
}
