/* A guest that does nothing but start, suspend, go on and end, as its command line says. */
#include "behaviour.h"
#include "clock.h"
#include "console.h"
#include "hypercall.h"
#include "platform.h"
#include "xenstore.h"

#include <xen/sched.h>

#define MILLISECOND 1000000

struct platform platform;

static const char request_path[] = "control/shutdown";

static struct behaviour behaviour;

/* Uptimes at which something is to be done. */
static uint64_t action_at = NEVER, resumed_at = NEVER, suspend_at = NEVER, tick_at = NEVER, hears_at = NEVER;

/* Returns only from a suspend and from a soft reset. */
static long shut_down(unsigned reason, uint64_t record)
{
    struct sched_shutdown shutdown = { .reason = reason };

    return hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, (uint64_t)&shutdown, record);
}

/* Shuts down for a reason after which the domain goes on, with all that it knows. */
static void rest(unsigned reason)
{
    static uint64_t suspends, resets;
    bool anew;

    clock_stop();
    for (;;) {
        anew = shut_down(reason, reason == SHUTDOWN_suspend ? platform.disconnect() : 0) == 0;
        if (behaviour.resumed == NO_ACTION || behaviour.resumed_after)
            break;
        /* No other call to Xen comes between: the domain ends in the instant in which it goes on. */
        reason = behaviour.resumed;
    }

    platform.connect();
    clock_start();
    if (reason == SHUTDOWN_suspend)
        say("goes on after suspend %u, %s, uptime %u ms", ++suspends, anew ? "restored" : "cancelled",
            clock_uptime() / MILLISECOND);
    else
        say("goes on after soft reset %u, uptime %u ms", ++resets, clock_uptime() / MILLISECOND);
    if (anew) {
        xenstore_reset();
        xenstore_watch(request_path);
    }
    if (behaviour.resumed != NO_ACTION)
        resumed_at = clock_uptime() + behaviour.resumed_after;
}

static void suspend(void)
{
    say("suspends, uptime %u ms", clock_uptime() / MILLISECOND);
    rest(SHUTDOWN_suspend);
}

/* An exception without a table of handlers is a double fault, and then a triple one. */
static void triple_fault(void)
{
    const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) none = { 0, 0 };

    say("faults three times, uptime %u ms", clock_uptime() / MILLISECOND);
    asm volatile("lidt %0; ud2" : : "m"(none));
}

static void stop(unsigned reason)
{
    if (reason == TRIPLE_FAULT) {
        triple_fault();
        return;
    }
    if (reason == SHUTDOWN_suspend) {
        suspend();
        return;
    }
    say("stops with reason %u, uptime %u ms", (uint64_t)reason, clock_uptime() / MILLISECOND);
    if (reason == SHUTDOWN_soft_reset)
        rest(reason);
    else
        shut_down(reason, 0);
}

static void answer_request(void)
{
    char request[16];
    unsigned reason;

    xenstore_read(request_path, request, sizeof request);
    reason = behaviour_reason(request);
    if (reason == NO_ACTION)
        return;
    if (behaviour.requests == IGNORE) {
        say("ignores %s", request);
        return;
    }
    say("%s %s", behaviour.requests == OBEY ? "obeys" : "acknowledges", request);
    xenstore_clear(request_path);
    if (behaviour.requests == ACKNOWLEDGE)
        return;
    if (reason == SHUTDOWN_suspend)
        suspend_at = clock_uptime() + behaviour.suspend_after;
    else
        stop(reason);
}

/* Whether the time has come, which it does once. */
static bool due(uint64_t *at)
{
    if (clock_uptime() < *at)
        return false;
    *at = NEVER;
    return true;
}

static uint64_t earlier(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

void guest_main(void)
{
    const char *bad = behaviour_parse(&behaviour, platform.command_line);

    platform.connect();
    clock_start();
    if (bad) {
        say("does not understand: %s", bad);
        shut_down(SHUTDOWN_crash, 0);
    }
    say("up, %s, %s", platform.name, platform.command_line);
    hears_at = behaviour.deaf;
    if (behaviour.action != NO_ACTION)
        action_at = behaviour.after;
    if (behaviour.tick)
        tick_at = behaviour.tick;

    for (;;) {
        uint64_t next = earlier(earlier(earlier(action_at, resumed_at), earlier(suspend_at, tick_at)), hears_at);

        /* A watch fires at once: a request that is there already is answered. */
        if (due(&hears_at))
            xenstore_watch(request_path);
        if (xenstore_wait(clock_system_time(next)))
            answer_request();
        if (due(&suspend_at))
            suspend();
        if (due(&action_at))
            stop(behaviour.action);
        if (due(&resumed_at))
            stop(behaviour.resumed);
        if (due(&tick_at)) {
            say("uptime %u ms", clock_uptime() / MILLISECOND);
            tick_at = clock_uptime() + behaviour.tick;
        }
    }
}
