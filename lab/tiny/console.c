#include "console.h"

#include "event.h"
#include "platform.h"

#include <stdarg.h>

static void put(char byte)
{
    struct xencons_interface *ring = platform.console;
    uint32_t produced = ring->out_prod;

    if (produced - __atomic_load_n(&ring->out_cons, __ATOMIC_ACQUIRE) == sizeof ring->out)
        return;
    ring->out[MASK_XENCONS_IDX(produced, ring->out)] = byte;
    __atomic_store_n(&ring->out_prod, produced + 1, __ATOMIC_RELEASE);
}

static void put_text(const char *text)
{
    while (*text)
        put(*text++);
}

static void put_number(uint64_t number)
{
    char digits[20], *first = digits + sizeof digits;

    do {
        *--first = '0' + number % 10;
        number /= 10;
    } while (number);
    while (first < digits + sizeof digits)
        put(*first++);
}

void say(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    put_text("lab guest: ");
    for (; *format; format++) {
        if (*format != '%') {
            put(*format);
        } else if (*++format == 's') {
            put_text(va_arg(arguments, const char *));
        } else {
            put_number(va_arg(arguments, uint64_t));
        }
    }
    put_text("\r\n");
    va_end(arguments);
    event_send(platform.console_port);
}
