# Prints the copies of the guest that Xen has, and how often it was booted here, a line each time: "DOMID STATE … boots N".
while sleep 1; do
    copies=$(xl list -v | awk -v uuid="$uuid" '$7 == uuid { printf "%s %s ", $2, $5 }')
    echo "${copies}boots $(cat /var/log/xen/console/guest-*.log 2>/dev/null | grep -c 'lab guest: up')"
done
