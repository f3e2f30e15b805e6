#!/bin/sh
# First process of a node of the trial, in namespaces of its own: makes the node's files and programs, and stays.
# $1: name of the node. $2: its number. $3: the tree of Debian packages. $4: the node's own directory. $5: that of all nodes.
set -eu
node=$1 number=$2 tree=$3 own=$4 all=$5
root=$own/root
hostname "$node"
mount --make-rprivate /
mkdir -p "$root" "$own/domainmgr" "$own/xen" "$own/log"
if ! test -e "$own/pacemaker"; then
    cp -a "$tree/var/log/." "$own/log"
    cp -a "$tree/var/lib/pacemaker" "$tree/var/lib/corosync" "$own"
fi
mount --bind "$tree" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount --rbind /dev "$root/dev"
for dir in dev/shm run tmp root etc/corosync; do
    mount -t tmpfs -o mode=755 tmpfs "$root/$dir"
done
chmod 1777 "$root/dev/shm" "$root/tmp"
# These outlive a power cut, as a disk does.
mount --bind "$own/pacemaker" "$root/var/lib/pacemaker"
mount --bind "$own/corosync" "$root/var/lib/corosync"
mount --bind "$own/domainmgr" "$root/var/lib/domainmgr"
mount --bind "$own/log" "$root/var/log"
mount --bind "$all" "$root/trial"
mount --bind "$all/hosts" "$root/etc/hosts"
mount --bind "$all/auto" "$root/etc/xen/auto"
mount --bind "$all/bin/domainmgr" "$root/usr/sbin/domainmgr"
mount --bind "$all/bin/fence_trial" "$root/usr/sbin/fence_trial"
mount --bind "$all/bin/Domain" "$root/usr/lib/ocf/resource.d/libxl/Domain"
mount --bind "$own/xen" "$root/xen"
cp "$all/corosync.conf" "$root/etc/corosync/corosync.conf"
mkdir -m 700 "$root/root/.ssh"
cp "$all/ssh/key" "$root/root/.ssh/id_ed25519"
cp "$all/ssh/key.pub" "$root/root/.ssh/authorized_keys"
cp "$all/ssh/config" "$root/root/.ssh/config"
chmod 600 "$root/root/.ssh/"*
mkdir -p "$root/run/sshd" "$root/run/lock" "$root/run/crm" "$root/run/pacemaker" "$root/run/resource-agents"
chroot "$root" chown hacluster:haclient /run/crm /run/pacemaker
# The cable is plugged in from outside.
until ip link show eth0 >/dev/null 2>&1; do sleep 0.05; done
ip link set lo up
ip addr add "10.77.0.$number/24" dev eth0
ip link set eth0 up
exec chroot "$root" /bin/sh /trial/services.sh
