# Runs in the dom0 of a host of the lab that has just booted: makes it a node of the trial. `node` is its name, `number` its number.
set -e
hostname "$node"
ip addr flush dev xenbr0
ip addr add "10.77.0.$number/24" dev xenbr0
ip link set eth1 up master xenbr0
cp /share/cluster/hosts /etc/hosts
install -m 600 /share/cluster/ssh/key /root/.ssh/id_ed25519
install -m 600 /share/cluster/ssh/config /root/.ssh/config
cat /share/cluster/ssh/key.pub >>/root/.ssh/authorized_keys
install -m 755 /share/cluster/bin/domainmgr /usr/local/bin/domainmgr
mkdir -p /etc/xen/auto
cp /share/cluster/auto/web.cfg /etc/xen/auto/

# The node's root is on the disk that outlives a power cut. The agent runs outside, beside the Xen of this dom0.
root=/node
mkdir -p "$root"
mount -t ext4 /dev/vdb "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount --rbind /dev "$root/dev"
for dir in run tmp; do
    mount -t tmpfs -o mode=755 tmpfs "$root/$dir"
done
chmod 1777 "$root/tmp"
mkdir -p "$root/run/lock" "$root/run/crm" "$root/run/pacemaker" "$root/run/resource-agents" "$root/run/domainmgr" /run/domainmgr
chroot "$root" chown hacluster:haclient /run/crm /run/pacemaker
mount --bind /run/domainmgr "$root/run/domainmgr"
mount --bind /share/cluster "$root/trial"
cp /share/cluster/hosts "$root/etc/hosts"
cp /share/cluster/corosync.conf "$root/etc/corosync/"
install -m 755 /share/cluster/bin/domainmgr /share/cluster/bin/fence_trial "$root/usr/sbin/"
install -m 755 /share/cluster/bin/Domain "$root/usr/lib/ocf/resource.d/libxl/"
setsid sh /share/cluster/services.sh </dev/null >/dev/null 2>&1 &
