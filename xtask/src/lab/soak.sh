# Runs in dom0: starts a PVH Linux guest again and again, in $lanes lanes beside each other, until $boots have been started, and prints a line
# for each: `boot N up SECONDS`, `boot N ended`, or `boot N hung`.
rm -rf /tmp/soak && mkdir /tmp/soak && cd /tmp/soak && echo 0 >count || exit 1
xl dmesg -c >/dev/null

# Takes the next number, or fails when there is none left.
next() {
    (
        flock 9
        read -r n <count
        [ "$n" -lt "$boots" ] || exit 1
        echo $((n + 1)) >count
        echo $((n + 1))
    ) 9>lock
}

lane() {
    while n=$(next); do
        name=soak$n
        log=/var/log/xen/console/guest-$name.log
        cat >"$name.cfg" <<END
name="$name"
type="pvh"
kernel="/lab/guest/vmlinux"
ramdisk="/lab/guest/initrd"
cmdline="console=hvc0 quiet"
memory=128
on_reboot="destroy"
on_crash="destroy"
END
        read -r begin _ </proc/uptime
        xl create -q "$name.cfg" || { echo "boot $n ended"; continue; }
        i=0
        while :; do
            if grep -q 'lab guest: up' "$log" 2>/dev/null; then
                read -r end _ </proc/uptime
                echo "boot $n up $(echo "$end $begin" | awk '{ printf "%.1f", $1 - $2 }')"
                break
            fi
            if ! xl domid "$name" >/dev/null 2>&1; then
                echo "boot $n ended"
                break
            fi
            # CPU seconds: a guest that uses so many, or lives for so long, and says nothing hangs.
            used=$(xl list "$name" 2>/dev/null | awk 'END { print int($6) }')
            if [ "$used" -gt 200 ] || [ "$i" -gt 1200 ]; then
                echo "boot $n hung"
                break
            fi
            i=$((i + 1))
            sleep 0.5
        done
        xl destroy "$name" 2>/dev/null
        rm -f "$log" "$name.cfg"
    done
}

lane=0
while [ "$lane" -lt "$lanes" ]; do
    lane &
    lane=$((lane + 1))
done
wait
# Xen's own word on guests that were reset because the processor could not go on.
echo "triple faults $(xl dmesg | grep -ci 'triple fault')"
