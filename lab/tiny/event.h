/* Waiting, and telling others, without interrupts. */
#pragma once

#include <stdint.h>
#include <xen/event_channel.h>

/* Blocks until the port has an event, which it takes, or until the deadline, in nanoseconds of system time, if that is not 0. May also
   return for no reason. */
void event_wait(evtchn_port_t port, uint64_t deadline);

void event_send(evtchn_port_t port);
