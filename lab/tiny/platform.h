/* What is different between PV and PVH. */
#pragma once

#include <stdint.h>
#include <xen/event_channel.h>
#include <xen/io/console.h>
#include <xen/io/xs_wire.h>

/* Xen's page of things it shares with this domain: there from connect() to disconnect(). */
extern struct shared_info shared_info;

struct platform {
    const char *name;
    const char *command_line;
    /* Takes up what the toolstack has set up, when the domain has started and when it has been resumed. */
    void (*connect)(void);
    /* Gives up what must not be there while a domain is suspended, and returns what Xen wants to be told with the suspend. */
    uint64_t (*disconnect)(void);
    /* Set by connect(). */
    struct xencons_interface *console;
    struct xenstore_domain_interface *xenstore;
    evtchn_port_t console_port, xenstore_port;
};

extern struct platform platform;

/* Where both go on. */
void guest_main(void) __attribute__((noreturn));
