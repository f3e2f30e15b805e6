# Runs in the dom0 of alpha: tries the cable and the shared disk of a pair, and prints a line for each thing that works.
set -u
trap 'cable mend >/dev/null' EXIT

# Seconds since the start, with decimals.
now() { read -r up _ </proc/uptime; echo "$up"; }
# Compares two numbers with decimals.
compare() { awk -v a="$1" -v b="$3" "BEGIN { exit !(a $2 b) }"; }
ok() { echo "ok: $*"; }
failed() { echo "FAILED: $*"; exit 1; }
order() { cable "$@" >/dev/null || failed "the order '$*'"; }
# Pings beta with a deadline, and prints the average time of an answer in milliseconds.
answer() { busybox ping -q -c 5 -w 10 beta | sed -n 's|.*min/avg/max = [^/]*/\([^/]*\)/.*|\1|p'; }
answers() { busybox ping -q -c 1 -w 2 beta >/dev/null; }

[ "$(hostname)" = alpha ] || failed "this is $(hostname), not alpha"
answers || failed "beta does not answer on the cable"
ok "ping over the cable, $(answer) ms"
begin=$(now)
[ "$(ssh beta hostname)" = beta ] || failed "ssh beta"
ok "ssh beta, $(echo "$(now) $begin" | awk '{ printf "%.2f", $1 - $2 }') s"
[ "$(ssh beta ssh alpha hostname)" = alpha ] || failed "ssh from beta to alpha"
ok "ssh from beta to alpha"
ssh beta xl info | grep -q '^xen_version' || failed "Xen on beta"
ok "Xen runs on beta"
[ "$(ssh beta-oob hostname)" = beta ] || failed "ssh beta-oob"
ok "ssh beta-oob, past the cable"

for direction in "" "from alpha" "from beta"; do
    order cut $direction
    answers && failed "a ping arrives although the cable is cut $direction"
    [ "$(ssh beta-oob hostname)" = beta ] || failed "ssh beta-oob while the cable is cut"
    order mend $direction
    answers || failed "beta does not answer after the cable was mended $direction"
    ok "cut ${direction:-in both directions}: no answer; ssh beta-oob works; mended: an answer"
done

order delay 100ms from beta
delayed=$(answer)
compare "$delayed" ">=" 100 || failed "the delay of 100 ms: answers after $delayed ms"
order mend
ok "a delay of 100 ms in one direction: answers after $delayed ms"

order loss 50%
lost=$(busybox ping -q -c 40 -i 0.1 -w 30 beta | sed -n 's/.* \([0-9]*\)% packet loss/\1/p')
order mend
compare "$lost" ">=" 40 && compare "$lost" "<" 100 || failed "losses of 50 % in each direction: $lost % of the answers"
ok "losses of 50 % in each direction: $lost % of the answers are lost"

# Sends a MiB to beta, and prints the time in seconds.
send() {
    begin=$(now)
    head -c 1048576 /dev/zero | ssh beta 'cat >/dev/null' || failed "sending to beta"
    echo "$(now) $begin" | awk '{ print $1 - $2 }'
}
free=$(send)
order rate 2mbit from alpha
limited=$(send)
order mend
compare "$limited" ">" 4 || failed "a MiB at 2 Mbit/s takes $limited s"
ok "a MiB takes $free s, and at 2 Mbit/s $limited s"

order mend cut-after 300000 from alpha
# The deadline ends the sender: TCP would wait for minutes.
head -c 1048576 /dev/zero | timeout 10 ssh beta 'wc -c >/tmp/received' && failed "a MiB arrives although the cable is cut after 300000 bytes"
cable | grep -q '"alpha":{[^}]*"up":false' || failed "cut-after does not cut: $(cable)"
order mend
ok "the cable cuts itself in the middle of a stream"

# Each order on one connection, without the start of a program.
exec 3<>/dev/tcp/127.0.0.1/2201 || failed "a connection for orders"
times=$(for order in cut mend cut mend cut mend cut mend cut mend; do
    begin=${EPOCHREALTIME/./}
    echo "$order" >&3 && read -r answer <&3 || exit
    echo $((${EPOCHREALTIME/./} - begin))
done) || failed "no answer to an order"
echo "$times" | sort -n |
    awk '{ t[NR] = $1 / 1000 } END { printf "ok: an order is obeyed and answered in %.1f to %.1f ms, median %.1f\n", t[1], t[NR], t[5] }'

word="written by alpha at $(date +%s%N)"
echo "$word" | dd of=/dev/vdb oflag=direct conv=sync bs=4096 seek=5 status=none || failed "writing to the shared disk"
[ "$(ssh beta 'dd if=/dev/vdb iflag=direct bs=4096 skip=5 count=1 status=none | tr -d "\0"')" = "$word" ] || failed "the shared disk"
ok "a block that alpha has written to /dev/vdb is read by beta"
echo "$word" >/share/pair-check
[ "$(ssh beta cat /share/pair-check)" = "$word" ] || failed "/share"
rm /share/pair-check
ok "/share is the same directory on both"
