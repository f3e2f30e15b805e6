#!/bin/sh
# Fence agent of the trial: asks for the power of a node to be cut, and waits until it is.
# Pacemaker gives name=value lines on the standard input.
action=reboot plug=
while [ $# -gt 0 ]; do
    case $1 in
        -o) action=$2; shift ;;
        -n) plug=$2; shift ;;
    esac
    shift
done
case $action in
    metadata) ;;
    *) while read -r line; do
        case $line in
            action=*) action=${line#action=} ;;
            port=* | plug=*) plug=${line#*=} ;;
        esac
    done ;;
esac
power=/trial/power
case $action in
    metadata)
        cat <<'END'
<?xml version="1.0" ?>
<resource-agent name="fence_trial" shortdesc="Power switch of the trial">
<longdesc>Cuts the power of a simulated node.</longdesc>
<parameters>
<parameter name="action" unique="0" required="1"><content type="string" default="reboot"/><shortdesc lang="en">Action</shortdesc></parameter>
<parameter name="port" unique="0" required="0"><content type="string"/><shortdesc lang="en">Node</shortdesc></parameter>
</parameters>
<actions><action name="on"/><action name="off"/><action name="reboot"/><action name="status"/><action name="list"/><action name="monitor"/><action name="metadata"/></actions>
</resource-agent>
END
        ;;
    list) ls "$power"/*.state | sed 's,.*/,,; s,\.state$,\,,' ;;
    monitor) test -d "$power" ;;
    status) test "$(cat "$power/$plug.state")" = on || exit 2 ;;
    on | off | reboot)
        request=$power/$plug.$action.$(hostname).$$.request
        : >"$request.new"
        mv "$request.new" "$request"
        tries=0
        while [ -e "$request" ]; do
            sleep 0.1
            tries=$((tries + 1))
            [ $tries -lt 300 ] || exit 1
        done
        ;;
    *) exit 1 ;;
esac
