/* Time. */
#pragma once

#include <stdint.h>

/* What deadlines are counted in, as an uptime, and never reached. */
#define NEVER UINT64_MAX

/* Nanoseconds since the start, without those in which the domain was suspended. */
uint64_t clock_uptime(void);

/* Xen's system time, in which it takes deadlines, at an uptime; 0 for NEVER. */
uint64_t clock_system_time(uint64_t uptime);

/* Starts the clock, or lets it go on where clock_stop() has left it. Xen's own may be another one by then. */
void clock_start(void);
void clock_stop(void);
