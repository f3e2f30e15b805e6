/*
 * The least that a manager of domains does, in C: one context, one watch for all deaths, some builds side by side, and a
 * domain that has shut down is destroyed. It remembers and publishes nothing.
 *
 *   manager CONFIG BUILDS    CONFIG is a libxl_domain_config as JSON, BUILDS the number of builds side by side
 *
 * Reads lines "start COUNT" and answers "runs DOMID" for each domain. Says "dead DOMID" by itself.
 */
#include <errno.h>
#include <libxl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static const libxl_childproc_hooks children = {
    .chldowner = libxl_sigchld_owner_libxl_always_selective_reap,
};

/* The state of a domain whose operation has completed. */
enum step { BUILT, RUNS, DESTROYED };

struct domain {
    libxl_domain_config config;
    libxl_evgen_domain_death *death;
    uint32_t domid;
};

static libxl_ctx *ctx;
static const char *json;
static struct domain **domains;
static unsigned known, wanted, building, builds;

static void fail(const char *what)
{
    fprintf(stderr, "manager: %s has failed\n", what);
    exit(1);
}

static char *read_file(const char *path)
{
    static char text[1 << 16];
    FILE *file = fopen(path, "r");
    if (!file)
        fail(path);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    return text;
}

/* A completion is recognised by the number of its domain, and the step. */
static libxl_asyncop_how completion(unsigned number, enum step step)
{
    libxl_asyncop_how how = { .callback = NULL, .u.for_event = (uint64_t)number << 2 | step };
    return how;
}

static void build(void)
{
    struct domain *d = calloc(1, sizeof *d);
    char name[64];
    domains = realloc(domains, (known + 1) * sizeof *domains);
    if (!d || !domains)
        fail("malloc");
    domains[known] = d;
    libxl_domain_config_init(&d->config);
    if (libxl_domain_config_from_json(ctx, &d->config, json))
        fail("libxl_domain_config_from_json");
    snprintf(name, sizeof name, "manager-%d-%u", getpid(), known);
    free(d->config.c_info.name);
    d->config.c_info.name = strdup(name);
    libxl_uuid_generate(&d->config.c_info.uuid);
    libxl_asyncop_how how = completion(known, BUILT);
    known++;
    building++;
    wanted--;
    if (libxl_domain_create_new(ctx, &d->config, &d->domid, &how, NULL))
        fail("libxl_domain_create_new");
}

static void completed(const libxl_event *event)
{
    unsigned number = (unsigned)(event->for_user >> 2);
    struct domain *d = domains[number];
    enum step step = event->for_user & 3;
    libxl_asyncop_how how = completion(number, RUNS);
    if (event->u.operation_complete.rc)
        fail("an operation");
    switch (step) {
    case BUILT:
        libxl_domain_config_dispose(&d->config);
        if (libxl_evenable_domain_death(ctx, d->domid, number, &d->death))
            fail("libxl_evenable_domain_death");
        if (libxl_domain_unpause(ctx, d->domid, &how))
            fail("libxl_domain_unpause");
        break;
    case RUNS:
        building--;
        printf("runs %u\n", d->domid);
        break;
    case DESTROYED:
        break;
    }
}

static void happened(const libxl_event *event)
{
    unsigned number = (unsigned)event->for_user;
    libxl_asyncop_how how = completion(number, DESTROYED);
    switch (event->type) {
    case LIBXL_EVENT_TYPE_OPERATION_COMPLETE:
        completed(event);
        break;
    case LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN:
        if (libxl_domain_destroy(ctx, event->domid, &how))
            fail("libxl_domain_destroy");
        break;
    case LIBXL_EVENT_TYPE_DOMAIN_DEATH:
        printf("dead %u\n", event->domid);
        libxl_evdisable_domain_death(ctx, domains[number]->death);
        free(domains[number]);
        domains[number] = NULL;
        break;
    default:
        break;
    }
}

/* Returns false at the end of the input. */
static int ask(void)
{
    static char line[64];
    static size_t length;
    ssize_t got = read(0, line + length, sizeof line - 1 - length);
    unsigned count;
    char *end;
    if (got <= 0)
        return 0;
    length += (size_t)got;
    line[length] = 0;
    while ((end = strchr(line, '\n'))) {
        if (sscanf(line, "start %u", &count) != 1)
            fail(line);
        wanted += count;
        length -= (size_t)(end + 1 - line);
        memmove(line, end + 1, length + 1);
    }
    return 1;
}

int main(int argc, char **argv)
{
    xentoollog_logger *logger = (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_WARN, 0);
    struct pollfd *fds = NULL;
    int room = 0;
    if (argc != 3 || !logger || libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, logger))
        fail("start");
    libxl_childproc_setmode(ctx, &children, NULL);
    json = read_file(argv[1]);
    builds = (unsigned)atoi(argv[2]);
    setvbuf(stdout, NULL, _IOLBF, 0);

    for (;;) {
        libxl_event *event;
        struct timeval now;
        int count, rc, timeout = -1;
        while (wanted && building < builds)
            build();
        while (!(rc = libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, 0, 0))) {
            happened(event);
            libxl_event_free(ctx, event);
        }
        if (rc != ERROR_NOT_READY)
            fail("libxl_event_check");
        if (wanted && building < builds)
            continue;
        gettimeofday(&now, NULL);
        do {
            count = room;
            rc = libxl_osevent_beforepoll(ctx, &count, fds ? fds + 1 : NULL, &timeout, now);
            if (rc == ERROR_BUFFERFULL) {
                room = count;
                fds = realloc(fds, ((size_t)room + 1) * sizeof *fds);
            } else if (rc)
                fail("libxl_osevent_beforepoll");
        } while (rc);
        if (!fds)
            fds = calloc(1, sizeof *fds);
        fds[0] = (struct pollfd){ .fd = 0, .events = POLLIN };
        if (poll(fds, (nfds_t)count + 1, timeout) < 0 && errno != EINTR)
            fail("poll");
        gettimeofday(&now, NULL);
        libxl_osevent_afterpoll(ctx, count, fds + 1, now);
        if (fds[0].revents && !ask())
            return 0;
    }
}
