#include "clock.h"

#include "platform.h"

static uint64_t zero, stopped_at;

static uint64_t system_time(void)
{
    const volatile struct vcpu_time_info *time = &shared_info.vcpu_info[0].time;
    uint32_t version, low, high;
    uint64_t since, result;

    /* Xen makes the version odd while it writes. */
    do {
        version = time->version;
        asm volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
        since = ((uint64_t)high << 32 | low) - time->tsc_timestamp;
        since = time->tsc_shift < 0 ? since >> -time->tsc_shift : since << time->tsc_shift;
        result = time->system_time + (uint64_t)((unsigned __int128)since * time->tsc_to_system_mul >> 32);
    } while (version & 1 || version != time->version);
    return result;
}

uint64_t clock_uptime(void)
{
    return system_time() - zero;
}

uint64_t clock_system_time(uint64_t uptime)
{
    return uptime == NEVER ? 0 : uptime + zero;
}

void clock_start(void)
{
    zero = system_time() - stopped_at;
}

void clock_stop(void)
{
    stopped_at = clock_uptime();
}
