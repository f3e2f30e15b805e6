#include "event.h"

#include "hypercall.h"
#include "platform.h"

#include <xen/sched.h>

void event_wait(evtchn_port_t port, uint64_t deadline)
{
    struct sched_poll poll = { .nr_ports = 1, .timeout = deadline };

    set_xen_guest_handle(poll.ports, &port);
    hypercall(__HYPERVISOR_sched_op, SCHEDOP_poll, (uint64_t)&poll, 0);
    __atomic_fetch_and(&shared_info.evtchn_pending[port / 64], ~(1UL << port % 64), __ATOMIC_SEQ_CST);
}

void event_send(evtchn_port_t port)
{
    struct evtchn_send send = { .port = port };

    hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_send, (uint64_t)&send, 0);
}
