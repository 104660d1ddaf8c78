import assert from "node:assert/strict";
import { test } from "node:test";
import { findGroup, managerOf } from "./memory-group-place.ts";

const machine = "31 24 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

void test("the group of a service of systemd", () => {
  assert.deepEqual(findGroup(machine, "0::/system.slice/countersign.service\n"), {
    path: "/sys/fs/cgroup/system.slice/countersign.service",
    within: "/system.slice/countersign.service",
  });
});

void test("a container's group, which it sees as the root", () => {
  const mounts = "900 880 0:27 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
  assert.deepEqual(findGroup(mounts, "0::/\n"), { path: "/sys/fs/cgroup", within: "/" });
});

void test("a mount that begins at another group is skipped, one that begins above the own is taken", () => {
  const mounts = [
    "50 24 0:27 /other /mnt/other rw - cgroup2 cgroup2 rw",
    "51 24 0:27 /a\\040b /mnt/with\\040space rw - cgroup2 cgroup2 rw",
  ].join("\n");
  assert.deepEqual(findGroup(mounts, "0::/a b/c\n"), {
    path: "/mnt/with space/c",
    within: "/a b/c",
  });
});

void test("a machine with version 1 only has none", () => {
  const mounts = "40 24 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
  assert.equal(findGroup(mounts, "4:memory:/x\n0::/\n"), null);
  assert.equal(findGroup(machine, "4:memory:/x\n"), null);
});

void test("the unit that systemd knows a group as", () => {
  assert.deepEqual(managerOf("/system.slice/countersign.service"), {
    unit: "countersign.service",
    isOfUser: false,
  });
  assert.deepEqual(
    managerOf("/user.slice/user-1000.slice/user@1000.service/app.slice/run-1.scope"),
    {
      unit: "run-1.scope",
      isOfUser: true,
    },
  );
  assert.deepEqual(managerOf("/user.slice/user-1000.slice/user@1000.service"), {
    unit: "user@1000.service",
    isOfUser: false,
  });
  for (const none of ["/", "/docker/1234", "/system.slice"]) assert.equal(managerOf(none), null);
});
