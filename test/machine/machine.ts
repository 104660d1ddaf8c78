import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";
import { onLines } from "../../src/process/lines.ts";

// The unit for systemd, cgroups of version 2 and real Workers, on a machine that QEMU emulates, whatever this one has.
// It takes about five minutes. As root, on Debian: apt-get install qemu-system-x86 busybox-static kmod cpio

const root = join(import.meta.dirname, "../..");
const cache = join(root, "node_modules/.cache/machine");
const skip = whyNot();
const found = new Map<string, string>();
/** ms */
const LONGEST = 20 * 60_000;

before(async () => {
  if (skip !== false) return;
  const kernel = unpackKernel(cache);
  const files = packFirstFiles(cache, kernel);
  await emulate(kernel.image, files);
});

// A kernel's package takes 400 MB.
after(() => rmSync(cache, { recursive: true, force: true }));

test("the unit's service runs Workers in a sandbox", { skip }, () => {
  assert.match(found.get("sandbox")!, /^Workers are sandboxed \(bubblewrap/);
  assert.equal(found.get("deployed"), "200 200");
  assert.equal(found.get("answers"), "200 200");
});

test(
  "each Worker's process is in a group with its limit, and nothing in the service's own",
  { skip },
  () => {
    assert.equal(found.get("limits"), String(256 * 1024 * 1024));
    assert.equal(found.get("members"), "2 of Workers, 0 above");
  },
);

test("a Worker that takes too much is told 1102, its neighbour goes on", { skip }, () => {
  for (const what of ["buffers", "shared"]) assert.equal(found.get(what), "503 200", what);
});

test("the group ends it without RLIMIT_DATA as well, and doctor knows why", { skip }, () => {
  assert.equal(found.get("group"), "503 200");
  assert.match(found.get("doctor")!, /a cgroup each, below .*exceeded its memory limit of 128 MiB/);
});

test(
  "after a kill -9 systemd starts it again with groups, and a stop leaves none",
  { skip },
  () => {
    assert.equal(found.get("killed"), "200 200, 2 of Workers");
    assert.equal(found.get("stopped"), "0 groups, 0 processes");
  },
);

interface Kernel {
  readonly image: string;
  readonly version: string;
  readonly folder: string;
}

/** Debian's kernel package has all that is needed; the one for clouds lacks 9p. */
function unpackKernel(folder: string): Kernel {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, "kernel"), { recursive: true });
  const depends = execFileSync("apt-cache", ["depends", "linux-image-amd64"], { encoding: "utf8" });
  const name = /linux-image-(\d\S+)/.exec(depends)![0];
  execFileSync("apt-get", ["download", "-qq", name], { cwd: folder, stdio: "ignore" });
  const archive = readdirSync(folder).find((file) => file.endsWith(".deb"))!;
  execFileSync("dpkg-deb", ["-x", archive, "kernel"], { cwd: folder });
  const version = name.replace("linux-image-", "");
  return {
    image: join(folder, "kernel/boot", `vmlinuz-${version}`),
    version,
    folder: join(folder, "kernel"),
  };
}

/** What the kernel starts with: busybox, the modules that reach this machine's files, and init.sh. */
function packFirstFiles(folder: string, { version, folder: kernel }: Kernel): string {
  const files = join(folder, "first");
  for (const name of ["bin", "proc", "sys", "dev", "m", "lower", "up", "new"])
    mkdirSync(join(files, name), { recursive: true });
  copyFileSync("/bin/busybox", join(files, "bin/busybox"));
  copyFileSync(join(import.meta.dirname, "init.sh"), join(files, "init"));
  execFileSync("chmod", ["+x", join(files, "init")]);
  execFileSync("/sbin/depmod", ["-b", kernel, version]);
  const paths = ["9pnet_virtio", "9p", "overlay", "virtio_pci"].flatMap((name) =>
    execFileSync("/sbin/modprobe", ["-S", version, "-d", kernel, "--show-depends", name], {
      encoding: "utf8",
    })
      .split("\n")
      .flatMap((line) => /^insmod (\S+)/.exec(line)?.[1] ?? []),
  );
  const modules = [...new Set(paths)];
  for (const path of modules) copyFileSync(path, join(files, "m", basename(path)));
  writeFileSync(join(files, "order"), modules.map((path) => basename(path)).join("\n"));
  const archive = join(folder, "first.cpio");
  execFileSync("sh", ["-c", `find . | cpio -o -H newc --quiet > ${archive}`], { cwd: files });
  return archive;
}

/** Resolves when the machine is off. An older processor than the emulator's best: V8 crashes on that. */
async function emulate(image: string, files: string): Promise<void> {
  const child = spawn(
    "qemu-system-x86_64",
    [
      ["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "Nehalem", "-smp", "2"],
      ["-m", "4096", "-display", "none", "-no-reboot", "-nodefaults", "-serial", "stdio"],
      ["-kernel", image, "-initrd", files],
      ["-append", `console=ttyS0 panic=1 quiet mitigations=off countersign.root=${root}`],
      ["-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"],
    ].flat(),
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const timer = setTimeout(() => child.kill("SIGKILL"), LONGEST);
  onLines(child.stdout, (line) => {
    const [, name, value] = /CHECK (\w+)=(.*?)\r?$/.exec(line) ?? [];
    if (name !== undefined) found.set(name, value!);
  });
  await new Promise((resolve) => child.once("close", resolve));
  clearTimeout(timer);
  assert.equal(found.get("done"), "yes", JSON.stringify([...found]));
}

function whyNot(): string | false {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "needs Linux, and root";
  const needed = ["qemu-system-x86_64", "busybox", "cpio", "apt-get", "/sbin/depmod"];
  const missing = needed.find((name) => spawnSync("sh", ["-c", `command -v ${name}`]).status !== 0);
  return missing === undefined ? false : `needs ${missing}`;
}
