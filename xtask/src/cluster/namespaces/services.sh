#!/bin/sh
# Programs of a node of the trial, in its own root. The agent is started again when it ends, as systemd does.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
/usr/sbin/sshd -o UsePAM=no -o PermitRootLogin=yes -o StrictModes=no
(
    while :; do
        domainmgr run --simulate --simulate-state /xen/xen.json --simulate-memory 2048 \
            --run-dir /var/run/domainmgr --state-dir /var/lib/domainmgr \
            --xl-dir /etc/xen/auto --log-level info >>/var/log/domainmgr.log 2>&1
        sleep 1
    done
) &
sh /trial/cluster.sh &
# The first process of a PID namespace has to look after orphans.
while :; do wait; sleep 1; done
