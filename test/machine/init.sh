#!/bin/busybox sh
# The first process of the emulated machine: its files are the outer machine's, and what it writes is in memory.
b=/bin/busybox
$b mount -t proc p /proc
$b mount -t sysfs s /sys
$b mount -t devtmpfs d /dev
for m in $($b cat /order); do $b insmod "/m/$m" || echo "CHECK module=$m failed"; done
$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=loose,ro host /lower
$b mount -t tmpfs -o size=1500m t /up
$b mkdir /up/u /up/w
$b mount -t overlay -o lowerdir=/lower,upperdir=/up/u,workdir=/up/w o /new
for d in proc sys dev; do $b mount --move /$d /new/$d; done
$b mkdir -p /new/dev/pts /new/dev/shm
$b mount -t devpts devpts /new/dev/pts
$b mount -t tmpfs shm /new/dev/shm
$b mount -t tmpfs t /new/run
root=$($b sed -n 's/.*countersign\.root=\([^ ]*\).*/\1/p' /new/proc/cmdline)
exec $b switch_root /new /bin/bash "$root/test/machine/systemd.sh" "$root"
