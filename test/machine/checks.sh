# Says what it finds in lines `CHECK name=value`; machine.ts judges them.
exec >/dev/ttyS0 2>&1
root=$1
export HOME=/root PATH=$root/node_modules/.bin:/usr/sbin:/usr/bin:/sbin:/bin
group=/sys/fs/cgroup/system.slice/countersign.service
say() { echo "CHECK $1=$2"; }
word() { journalctl -u countersign --no-pager -o cat | sed -n "s/^ *$1  *//p" | head -1; }
status() { curl -s -o /dev/null -m 100 -w '%{http_code}' "http://$1.localhost:4480/$2"; }
ready() {
  for _ in $(seq 150); do
    curl -s -o /dev/null -m 5 http://127.0.0.1:4400/readyz && [ "$(status calm)" = 200 ] && return
    sleep 1
  done
}
again() {
  for _ in $(seq 60); do [ "$(status greedy)" = 200 ] && return; sleep 1; done
}
deploy() {
  curl -s -o /dev/null -m 150 -w '%{http_code}' -X PUT -H "Authorization: Bearer $token" \
    "http://127.0.0.1:4400/client/v4/accounts/$account/workers/scripts/$1" \
    -F 'metadata={"main_module":"w.js","compatibility_date":"2026-01-01"};type=application/json' \
    -F "w.js=@/run/w.js;type=application/javascript+module"
}

ip link set lo up
systemctl start systemd-journald
cat >/run/w.js <<'J'
const kept = [];
const made = {
  "/buffers": () => new Uint8Array(1 << 20),
  "/shared": () => new Uint8Array(new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true }).buffer),
};
export default {
  fetch(request) {
    const make = made[new URL(request.url).pathname];
    for (let count = 0; make && count < 600; count++) kept.push(make().fill(count));
    return new Response(`${kept.length}`);
  },
};
J
systemctl start countersign
for _ in $(seq 150); do curl -s -o /dev/null -m 5 http://127.0.0.1:4400/readyz && break; sleep 1; done
token=$(word Token | cut -d' ' -f1)
account=$(word Account)
say sandbox "$(word Sandbox)"
say deployed "$(deploy calm) $(deploy greedy)"
say answers "$(status calm) $(status greedy)"
say limits "$(cat $group/worker-*/memory.max | sort -u)"
say members "$(cat $group/worker-*/cgroup.procs | wc -l) of Workers, $(wc -l <$group/cgroup.procs) above"
say buffers "$(status greedy buffers) $(status calm)"
again
say shared "$(status greedy shared) $(status calm)"
again
# The group alone.
for pid in $(pgrep -x workerd); do prlimit --pid "$pid" --data=unlimited; done
say group "$(status greedy buffers) $(status calm)"
say doctor "$(COUNTERSIGN_DATA=/var/lib/countersign node "$root/bin/countersign.js" doctor | grep -E 'memory limits|worker greedy' | tr -s ' \n' ' ')"
kill -9 "$(systemctl show -p MainPID --value countersign)"
sleep 3
ready
again
say killed "$(status calm) $(status greedy), $(cat $group/worker-*/cgroup.procs | wc -l) of Workers"
systemctl stop countersign
say stopped "$(find $group -type d 2>/dev/null | wc -l) groups, $(pgrep -xc workerd) processes"
say done yes
echo o >/proc/sysrq-trigger
sleep 60
