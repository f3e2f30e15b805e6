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
# Pacemaker begins when the agent is ready, as its unit does with After=domainmgr.service.
until domainmgr status --agent >/dev/null 2>&1; do sleep 0.1; done
corosync -f >>/var/log/corosync.out 2>&1 &
until corosync-cfgtool -s >/dev/null 2>&1; do sleep 0.1; done
PCMK_logfile=/var/log/pacemaker/pacemaker.log pacemakerd >>/var/log/pacemakerd.out 2>&1 &
# The first process of a PID namespace has to look after orphans.
while :; do wait; sleep 1; done
