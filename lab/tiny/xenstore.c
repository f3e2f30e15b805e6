#include "xenstore.h"

#include "event.h"
#include "platform.h"

static bool reported;

static uint32_t readable(void)
{
    return __atomic_load_n(&platform.xenstore->rsp_prod, __ATOMIC_ACQUIRE) - platform.xenstore->rsp_cons;
}

static char get(void)
{
    struct xenstore_domain_interface *ring = platform.xenstore;
    uint32_t consumed = ring->rsp_cons;
    char byte;

    while (!readable()) {
        /* The other end may be waiting for room. */
        event_send(platform.xenstore_port);
        event_wait(platform.xenstore_port, 0);
    }
    byte = ring->rsp[MASK_XENSTORE_IDX(consumed)];
    __atomic_store_n(&ring->rsp_cons, consumed + 1, __ATOMIC_RELEASE);
    return byte;
}

static void put(char byte)
{
    struct xenstore_domain_interface *ring = platform.xenstore;
    uint32_t produced = ring->req_prod;

    while (produced - __atomic_load_n(&ring->req_cons, __ATOMIC_ACQUIRE) == XENSTORE_RING_SIZE) {
        event_send(platform.xenstore_port);
        event_wait(platform.xenstore_port, 0);
    }
    ring->req[MASK_XENSTORE_IDX(produced)] = byte;
    __atomic_store_n(&ring->req_prod, produced + 1, __ATOMIC_RELEASE);
}

/* Reads one message. The content becomes the string `value`, if the message is an answer. */
static uint32_t receive(char *value, size_t size)
{
    struct xsd_sockmsg header;
    size_t kept = 0;
    uint32_t i;

    for (i = 0; i < sizeof header; i++)
        ((char *)&header)[i] = get();
    if (header.type == XS_WATCH_EVENT) {
        reported = true;
        size = 0;
    }
    for (i = 0; i < header.len; i++) {
        char byte = get();

        if (header.type != XS_ERROR && kept + 1 < size)
            value[kept++] = byte;
    }
    if (size)
        value[kept] = 0;
    return header.type;
}

static size_t length(const char *text)
{
    size_t result = 0;

    while (text[result])
        result++;
    return result;
}

/* Sends a request, about a path and with more content perhaps, and reads the answer. */
static void request(uint32_t type, const char *path, const char *more, size_t more_length, char *value, size_t size)
{
    uint32_t path_length = length(path) + 1, i;
    struct xsd_sockmsg header = { .type = type, .len = path_length + more_length };

    for (i = 0; i < sizeof header; i++)
        put(((const char *)&header)[i]);
    for (i = 0; i < path_length; i++)
        put(path[i]);
    for (i = 0; i < more_length; i++)
        put(more[i]);
    event_send(platform.xenstore_port);
    while (receive(value, size) == XS_WATCH_EVENT)
        ;
}

static void receive_reports(void)
{
    while (readable())
        receive(NULL, 0);
}

void xenstore_reset(void)
{
    platform.xenstore->rsp_cons = platform.xenstore->rsp_prod;
}

void xenstore_watch(const char *path)
{
    static const char token[] = "";

    request(XS_WATCH, path, token, sizeof token, NULL, 0);
}

bool xenstore_wait(uint64_t deadline)
{
    bool result;

    receive_reports();
    if (!reported) {
        event_wait(platform.xenstore_port, deadline);
        receive_reports();
    }
    result = reported;
    reported = false;
    return result;
}

void xenstore_read(const char *path, char *value, size_t size)
{
    request(XS_READ, path, NULL, 0, value, size);
}

void xenstore_clear(const char *path)
{
    request(XS_WRITE, path, NULL, 0, NULL, 0);
}
