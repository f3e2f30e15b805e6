# Runs in dom0 before its state is saved: gives the hosts of a pair names and keys of their own, joins the bridge of the guests to the cable,
# and acquaints each host with the other. Prints the public key of the SSH server.
set -e
hostname "$host"
echo "$host" >/etc/hostname
tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id
printf '127.0.0.1 localhost\n%s alpha\n%s beta\n' "$alpha" "$beta" >/etc/hosts

# A guest that moves keeps its address: the bridges of both hosts are one network.
ip addr flush dev xenbr0
ip addr add "$address/24" dev xenbr0
ip link set eth1 up master xenbr0

# Commands for the other host go over the cable, and as HOST-oob ("out of band") past it.
printf '%s' "$client_key" >/root/.ssh/id_ed25519
chmod 600 /root/.ssh/id_ed25519
cat >/root/.ssh/config <<END
Host $peer-oob
    HostName 127.0.0.1
    Port $peer_port
    HostKeyAlias $peer
Host *
    BatchMode yes
END
# `cable ORDER` cuts and mends the cable, and prints its state.
cat >/usr/local/bin/cable <<END
#!/bin/bash
exec 3<>/dev/tcp/127.0.0.1/$orders_port && echo "\$*" >&3 && read -r answer <&3 || exit
echo "\$answer"
[[ \$answer != '{"error"'* ]]
END
chmod 755 /usr/local/bin/cable

key=/run/sshd/ssh_host_ed25519_key
rm "$key"
ssh-keygen -q -t ed25519 -N '' -C "$host" -f "$key"
# The connection of these commands stays: it has a process of its own.
kill "$(cat /run/sshd.pid)"
/usr/sbin/sshd -f /lab/dom0/sshd_config
cat "$key.pub"
