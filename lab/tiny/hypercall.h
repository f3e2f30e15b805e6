/* Calls to Xen. */
#pragma once

#include <stdint.h>
#include <xen/xen.h>

extern char hypercall_page[4096];

/* Negative results are errors. */
static inline long hypercall(unsigned number, uint64_t first, uint64_t second, uint64_t third)
{
    long result;

    asm volatile("call *%[entry]"
                 : "=a"(result), "+D"(first), "+S"(second), "+d"(third)
                 : [entry] "r"(hypercall_page + 32 * number)
                 : "rcx", "r8", "r9", "r10", "r11", "memory");
    return result;
}
