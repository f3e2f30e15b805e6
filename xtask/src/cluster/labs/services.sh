#!/bin/sh
# Programs of a node of the trial that is a host of the lab. The agent is started again when it ends, as systemd does.
(
    while :; do
        domainmgr run --run-dir /run/domainmgr --state-dir /node/var/lib/domainmgr --xl-dir /etc/xen/auto \
            --log-level info >>/node/var/log/domainmgr.log 2>&1
        sleep 1
    done
) &
exec chroot /node sh /trial/cluster.sh
