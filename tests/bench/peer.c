/*
 * The same work as in library.rs, as a toolstack in C does it. Reads lines "WORK COUNT", does the
 * work so often, and answers each with the nanoseconds that it took.
 *
 *   peer CONFIG DOMID    CONFIG is a libxl_domain_config as JSON, DOMID a running domain
 */
#include <libxl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const libxl_childproc_hooks children = {
    .chldowner = libxl_sigchld_owner_libxl_always_selective_reap,
};

static void fail(const char *what)
{
    fprintf(stderr, "peer: %s has failed\n", what);
    exit(1);
}

static libxl_ctx *open_context(xentoollog_logger *logger)
{
    libxl_ctx *ctx;
    if (libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, logger))
        fail("libxl_ctx_alloc");
    libxl_childproc_setmode(ctx, &children, NULL);
    return ctx;
}

static void list(libxl_ctx *ctx)
{
    static volatile uint64_t sum;
    int count;
    libxl_dominfo *domains = libxl_list_domain(ctx, &count);
    if (!domains)
        fail("libxl_list_domain");
    for (int i = 0; i < count; i++)
        sum += domains[i].cpu_time;
    libxl_dominfo_list_free(domains, count);
}

static void convert(libxl_ctx *ctx, const char *json)
{
    libxl_domain_config config;
    char *back;
    libxl_domain_config_init(&config);
    if (libxl_domain_config_from_json(ctx, &config, json))
        fail("libxl_domain_config_from_json");
    back = libxl_domain_config_to_json(ctx, &config);
    if (!back)
        fail("libxl_domain_config_to_json");
    free(back);
    libxl_domain_config_dispose(&config);
}

static void wait_for_completion(libxl_ctx *ctx)
{
    libxl_event *event;
    if (libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, 0, 0))
        fail("libxl_event_wait");
    if (event->type != LIBXL_EVENT_TYPE_OPERATION_COMPLETE || event->u.operation_complete.rc)
        fail("the operation");
    libxl_event_free(ctx, event);
}

static void pause_and_unpause(libxl_ctx *ctx, uint32_t domid)
{
    libxl_asyncop_how how = { .callback = NULL, .u.for_event = 1 };
    if (libxl_domain_pause(ctx, domid, &how))
        fail("libxl_domain_pause");
    wait_for_completion(ctx);
    if (libxl_domain_unpause(ctx, domid, &how))
        fail("libxl_domain_unpause");
    wait_for_completion(ctx);
}

static char *read_file(const char *path)
{
    static char text[1 << 16];
    FILE *file = fopen(path, "r");
    size_t length;
    if (!file)
        fail(path);
    length = fread(text, 1, sizeof text - 1, file);
    text[length] = 0;
    fclose(file);
    return text;
}

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

int main(int argc, char **argv)
{
    xentoollog_logger *logger = (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_WARN, 0);
    char work[32];
    unsigned count;
    if (argc != 3 || !logger)
        fail("start");
    const char *json = read_file(argv[1]);
    uint32_t domid = (uint32_t)atoi(argv[2]);
    libxl_ctx *ctx = open_context(logger);

    while (scanf("%31s %u", work, &count) == 2) {
        uint64_t begin = now();
        for (unsigned i = 0; i < count; i++) {
            if (!strcmp(work, "list"))
                list(ctx);
            else if (!strcmp(work, "context"))
                libxl_ctx_free(open_context(logger));
            else if (!strcmp(work, "config"))
                convert(ctx, json);
            else if (!strcmp(work, "operation"))
                pause_and_unpause(ctx, domid);
            else
                fail(work);
        }
        printf("%llu\n", (unsigned long long)(now() - begin));
        fflush(stdout);
    }
    libxl_ctx_free(ctx);
    xtl_logger_destroy(logger);
    return 0;
}
