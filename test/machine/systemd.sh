# Becomes systemd, with the unit of assets/deploy and nothing else to start but the checks.
root=$1
export HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin
useradd --system --home-dir /var/lib/countersign --shell /usr/sbin/nologin countersign
rm -rf /etc/systemd/system/*.wants /lib/systemd/system/*.target.wants
: >/etc/fstab
start="$root/node_modules/node/bin/node $root/bin/countersign.js start --data /var/lib/countersign --worker-start 120"
sed "s#^ExecStart=.*#ExecStart=$start#" "$root/assets/deploy/countersign.service" >/etc/systemd/system/countersign.service
cat >/etc/systemd/system/checks.service <<U
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/bash $root/test/machine/checks.sh $root
TimeoutStartSec=infinity
U
exec /lib/systemd/systemd --unit=checks.service --log-level=err --log-target=null
