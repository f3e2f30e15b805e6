#!/bin/sh
# The cluster's programs on a node of the trial, in the root of the node.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
# Pacemaker begins when the agent is ready, as its unit does with After=domainmgr.service.
until domainmgr status --agent >/dev/null 2>&1; do sleep 0.1; done
corosync -f >>/var/log/corosync.out 2>&1 &
until corosync-cfgtool -s >/dev/null 2>&1; do sleep 0.1; done
PCMK_logfile=/var/log/pacemaker/pacemaker.log exec pacemakerd >>/var/log/pacemakerd.out 2>&1
