/* A stand-in for the parts of libxl that the event loop, the operations and the watcher use, so that
 * they can be tested without Xen. It is preloaded in front of the real library, which still provides
 * everything else. It keeps libxl's rules and ends the process where libxl would. */
#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <libxl.h>
#include <libxl_utils.h>
#include <xenctrl.h>

/* In faults.c. */
int fake_card_count(void);
/* In store.c. */
void fake_request(int domid, const char *request);
void fake_connect(void);

#define DOMAINS 64
#define GONE (-1)
#define RUNNING 0
#define PAUSED 1
#define SHUTDOWN 2 /* and a reason */

enum kind { PLAIN, RETRIEVE };

struct op {
    struct op *next;
    enum kind kind;
    uint64_t token;
    long long due; /* -1: not before it is aborted */
    int fd;        /* a timer, or -1 where beforepoll gives a time-out */
};

struct libxl__evgen_domain_death {
    struct libxl__evgen_domain_death *next;
    uint32_t domid;
    libxl_ev_user token;
    int shutdown_reported, death_reported;
};

struct libxl__evgen_disk_eject {
    struct libxl__evgen_disk_eject *next;
    uint32_t domid;
    libxl_ev_user token;
};

struct queued {
    struct queued *next;
    libxl_event *event;
};

struct libxl__ctx {
    char libxls_own[65536]; /* zero, for those of the real functions that look into it */
    struct libxl__ctx *next;
    pthread_mutex_t lock;
    xentoollog_logger *logger;
    const libxl_event_hooks *hooks;
    void *hooks_user;
    int selective_reap, alarmed;
    struct op *ops;
    struct libxl__evgen_domain_death *deaths;
    struct libxl__evgen_disk_eject *ejects;
    struct queued *first, **last;
    int watch; /* readable when a domain has changed */
    int polled;
};

static pthread_mutex_t globals = PTHREAD_MUTEX_INITIALIZER;
static struct libxl__ctx *contexts;
static int states[DOMAINS];
static int duration, rc_of_ops, aborts, reading_cards, overlaps, retrievals_with_cards = 1;
static int nodes = 64, nodemap_bytes, suspends, guests_hear = 1;

static long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static __thread int depth;

static void lock(libxl_ctx *ctx)
{
    pthread_mutex_lock(&ctx->lock);
    depth++;
}

static void unlock(libxl_ctx *ctx)
{
    depth--;
    pthread_mutex_unlock(&ctx->lock);
}

static void ring(libxl_ctx *ctx)
{
    uint64_t one = 1;
    if (write(ctx->watch, &one, sizeof one) < 0) { }
}

static void die(const char *why)
{
    fprintf(stderr, "libxl would end the process: %s\n", why);
    abort();
}

/* What the tests ask for. */

void fake_duration(int ms) { duration = ms; }
void fake_result(int rc) { rc_of_ops = rc; }
/* Guests obey at once, or not at all. */
void fake_guests_hear(int hear) { guests_hear = hear; }
void fake_nodes(int count) { nodes = count; }
int fake_aborts(void) { return aborts; }
int fake_overlaps(void) { return overlaps; }
int fake_nodemap_bytes(void) { return nodemap_bytes; }
/* How many locks of libxl's this thread holds. */
int fake_depth(void) { return depth; }
int fake_suspends(void) { return suspends; }

int fake_contexts(void)
{
    int count = 0;
    pthread_mutex_lock(&globals);
    for (struct libxl__ctx *ctx = contexts; ctx; ctx = ctx->next)
        count++;
    pthread_mutex_unlock(&globals);
    return count;
}

void fake_domain(int domid, int state)
{
    pthread_mutex_lock(&globals);
    states[domid] = state;
    for (struct libxl__ctx *ctx = contexts; ctx; ctx = ctx->next)
        ring(ctx);
    pthread_mutex_unlock(&globals);
}

/* Every context that is open reports a disaster when it is polled next. */
void fake_disaster(void)
{
    pthread_mutex_lock(&globals);
    for (struct libxl__ctx *ctx = contexts; ctx; ctx = ctx->next) {
        ctx->alarmed = 1;
        ring(ctx);
    }
    pthread_mutex_unlock(&globals);
}

static void queue(libxl_ctx *ctx, libxl_event_type type, uint32_t domid, uint64_t token, int value)
{
    struct queued *entry = calloc(1, sizeof *entry);
    libxl_event *event = calloc(1, sizeof *event);
    libxl_event_init(event);
    libxl_event_init_type(event, type);
    event->domid = domid;
    event->for_user = token;
    if (type == LIBXL_EVENT_TYPE_OPERATION_COMPLETE)
        event->u.operation_complete.rc = value;
    if (type == LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN)
        event->u.domain_shutdown.shutdown_reason = (uint8_t)value;
    entry->event = event;
    *ctx->last = entry;
    ctx->last = &entry->next;
}

/* A guest that ejects its disc, as often as it likes. */
void fake_ejects(int times)
{
    pthread_mutex_lock(&globals);
    for (struct libxl__ctx *ctx = contexts; ctx; ctx = ctx->next) {
        lock(ctx);
        for (struct libxl__evgen_disk_eject *at = ctx->ejects; at; at = at->next)
            for (int n = 0; n < times; n++)
                queue(ctx, LIBXL_EVENT_TYPE_DISK_EJECT, at->domid, at->token, 0);
        unlock(ctx);
        ring(ctx);
    }
    pthread_mutex_unlock(&globals);
}

/* The signal, as in libxl_fork.c: every context that comes or goes installs the handler anew. */

static struct sigaction saved;
static int users;

static void handler(int number) { (void)number; }

static void install(struct sigaction *old)
{
    struct sigaction ours;
    memset(&ours, 0, sizeof ours);
    ours.sa_handler = handler;
    ours.sa_flags = SA_NOCLDSTOP | SA_RESTART;
    sigaction(SIGCHLD, &ours, old);
}

int libxl_ctx_alloc(libxl_ctx **to, int version, unsigned flags, xentoollog_logger *logger)
{
    pthread_mutexattr_t recursive;
    libxl_ctx *ctx = calloc(1, sizeof *ctx);
    (void)version, (void)flags;
    fake_connect();
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&ctx->lock, &recursive);
    ctx->logger = logger;
    ctx->last = &ctx->first;
    ctx->watch = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (ctx->watch < 0)
        return ERROR_FAIL;
    pthread_mutex_lock(&globals);
    ctx->next = contexts;
    contexts = ctx;
    pthread_mutex_unlock(&globals);
    *to = ctx;
    return 0;
}

int libxl_ctx_free(libxl_ctx *ctx)
{
    if (ctx->ops)
        die("an operation is under way");
    while (ctx->first) {
        struct queued *entry = ctx->first;
        ctx->first = entry->next;
        libxl_event_free(ctx, entry->event);
        free(entry);
    }
    pthread_mutex_lock(&globals);
    for (struct libxl__ctx **at = &contexts; *at; at = &(*at)->next)
        if (*at == ctx) {
            *at = ctx->next;
            break;
        }
    if (ctx->selective_reap) {
        install(NULL);
        if (!--users)
            sigaction(SIGCHLD, &saved, NULL);
    }
    pthread_mutex_unlock(&globals);
    close(ctx->watch);
    memset(ctx, 0xa5, sizeof *ctx);
    free(ctx);
    return 0;
}

void libxl_event_register_callbacks(libxl_ctx *ctx, const libxl_event_hooks *hooks, void *user)
{
    ctx->hooks = hooks;
    ctx->hooks_user = user;
}

void libxl_childproc_setmode(libxl_ctx *ctx, const libxl_childproc_hooks *hooks, void *user)
{
    (void)user;
    if (hooks->chldowner == libxl_sigchld_owner_libxl_always_selective_reap) {
        pthread_mutex_lock(&globals);
        ctx->selective_reap = 1;
        install(users++ ? NULL : &saved);
        pthread_mutex_unlock(&globals);
    }
}

void libxl_childproc_sigchld_occurred(libxl_ctx *ctx)
{
    if (ctx->selective_reap)
        die("told of a child in a mode in which it looks itself");
}

/* The event loop. */

int libxl_osevent_beforepoll(libxl_ctx *ctx, int *count, struct pollfd *fds, int *timeout,
                             struct timeval now)
{
    int used = 0, room = *count;
    (void)now;
    lock(ctx);
    if (used < room)
        fds[used] = (struct pollfd){ .fd = ctx->watch, .events = POLLIN };
    used++;
    for (struct op *op = ctx->ops; op; op = op->next) {
        if (op->fd >= 0) {
            if (used < room)
                fds[used] = (struct pollfd){ .fd = op->fd, .events = POLLIN };
            used++;
        } else if (op->due >= 0) {
            long long left = op->due - now_ms();
            if (left < 0)
                left = 0;
            if (*timeout < 0 || left < *timeout)
                *timeout = (int)left;
        }
    }
    *count = used;
    ctx->polled = 1;
    unlock(ctx);
    return used > room ? ERROR_BUFFERFULL : 0;
}

static void finish(libxl_ctx *ctx, struct op **at, int rc)
{
    struct op *op = *at;
    *at = op->next;
    if (op->fd >= 0)
        close(op->fd);
    if (op->kind == RETRIEVE && retrievals_with_cards) {
        /* strtok has one place for the whole process. */
        if (__atomic_add_fetch(&reading_cards, 1, __ATOMIC_SEQ_CST) > 1)
            __atomic_add_fetch(&overlaps, 1, __ATOMIC_SEQ_CST);
        usleep(2000);
        __atomic_sub_fetch(&reading_cards, 1, __ATOMIC_SEQ_CST);
    }
    queue(ctx, LIBXL_EVENT_TYPE_OPERATION_COMPLETE, 0, op->token, rc);
    free(op);
}

static void look(libxl_ctx *ctx)
{
    for (struct libxl__evgen_domain_death *at = ctx->deaths; at; at = at->next) {
        int state = states[at->domid];
        if (state == GONE && !at->death_reported) {
            at->death_reported = 1;
            queue(ctx, LIBXL_EVENT_TYPE_DOMAIN_DEATH, at->domid, at->token, 0);
        } else if (state >= SHUTDOWN && !at->shutdown_reported) {
            at->shutdown_reported = 1;
            queue(ctx, LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN, at->domid, at->token, state - SHUTDOWN);
        }
    }
}

void libxl_osevent_afterpoll(libxl_ctx *ctx, int count, const struct pollfd *fds,
                             struct timeval now)
{
    (void)now;
    lock(ctx);
    if (!ctx->polled)
        die("afterpoll without beforepoll");
    ctx->polled = 0;
    for (int n = 0; n < count; n++)
        if (fds[n].fd == ctx->watch && fds[n].revents) {
            uint64_t times;
            if (read(ctx->watch, &times, sizeof times) < 0) { }
            look(ctx);
        }
    for (struct op **at = &ctx->ops; *at;) {
        int ready = 0;
        if ((*at)->fd >= 0) {
            for (int n = 0; n < count; n++)
                if (fds[n].fd == (*at)->fd && fds[n].revents)
                    ready = 1;
        } else
            ready = (*at)->due >= 0 && (*at)->due <= now_ms();
        if (ready)
            finish(ctx, at, rc_of_ops);
        else
            at = &(*at)->next;
    }
    if (ctx->alarmed) {
        ctx->alarmed = 0;
        ctx->hooks->disaster(ctx->hooks_user, 0, "the stand-in was told to", EIO);
    }
    unlock(ctx);
}

int libxl_event_check(libxl_ctx *ctx, libxl_event **to, uint64_t mask,
                      libxl_event_predicate *wanted, void *user)
{
    (void)mask, (void)wanted, (void)user;
    lock(ctx);
    struct queued *entry = ctx->first;
    if (entry) {
        ctx->first = entry->next;
        if (!ctx->first)
            ctx->last = &ctx->first;
        *to = entry->event;
        free(entry);
    }
    unlock(ctx);
    return entry ? 0 : ERROR_NOT_READY;
}

/* Operations. */

static int begin(libxl_ctx *ctx, enum kind kind, const libxl_asyncop_how *how)
{
    struct op *op = calloc(1, sizeof *op);
    if (!how || how->callback)
        die("the stand-in knows operations with an event only");
    lock(ctx);
    xtl_log(ctx->logger, XTL_DEBUG, -1, "libxl", "an operation begins");
    op->kind = kind;
    op->token = how->u.for_event;
    op->due = duration < 0 ? -1 : now_ms() + duration;
    op->fd = -1;
    op->next = ctx->ops;
    ctx->ops = op;
    if (!duration)
        finish(ctx, &ctx->ops, rc_of_ops);
    else if (duration > 0 && op->token % 2) {
        struct itimerspec in = { .it_value = { duration / 1000, duration % 1000 * 1000000L } };
        op->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        timerfd_settime(op->fd, 0, &in, NULL);
    }
    unlock(ctx);
    return 0;
}

int libxl_ao_abort(libxl_ctx *ctx, const libxl_asyncop_how *how)
{
    int rc = ERROR_NOTFOUND;
    lock(ctx);
    for (struct op **at = &ctx->ops; *at; at = &(*at)->next)
        if ((*at)->token == how->u.for_event) {
            xtl_log(ctx->logger, XTL_ERROR, -1, "libxl", "an operation is aborted");
            __atomic_add_fetch(&aborts, 1, __ATOMIC_SEQ_CST);
            finish(ctx, at, ERROR_ABORTED);
            rc = 0;
            break;
        }
    unlock(ctx);
    return rc;
}

int libxl_domain_shutdown(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *how)
{
    (void)domid;
    return begin(ctx, PLAIN, how);
}

int libxl_domain_destroy(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *how)
{
    (void)domid;
    return begin(ctx, PLAIN, how);
}

/* libxl leaves its request in xenstore until the guest acknowledges it. */
static void ask_to_suspend(uint32_t domid)
{
    /* For the guest's event channel. */
    fake_connect();
    if (guests_hear)
        fake_domain((int)domid, SHUTDOWN + LIBXL_SHUTDOWN_REASON_SUSPEND);
    else
        fake_request((int)domid, "suspend");
}

int libxl_domain_suspend_only(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *how)
{
    ask_to_suspend(domid);
    return begin(ctx, PLAIN, how);
}

/* The opening of a stream, which libxl writes before its helper runs. It does not survive a failure
 * there. */
int libxl_domain_suspend(libxl_ctx *ctx, uint32_t domid, int fd, int flags,
                         const libxl_asyncop_how *how)
{
    static const char opening[24] = "LibxlFmt\0\0\0\x02\0\0\0\0\x01";
    (void)flags;
    suspends++;
    /* Whatever goes wrong at the other end has gone wrong by then. */
    usleep(30000);
    for (unsigned n = 0; n < sizeof opening; n++)
        if (write(fd, opening + n, 1) != 1)
            die("a function is called that nobody has set");
    ask_to_suspend(domid);
    return begin(ctx, PLAIN, how);
}

/* Asserts that COLO is told which proxy it has. */
int libxl_domain_remus_start(libxl_ctx *ctx, libxl_domain_remus_info *info, uint32_t domid,
                             int send_fd, int recv_fd, const libxl_asyncop_how *how)
{
    (void)domid, (void)send_fd, (void)recv_fd;
    if (info->colo.val > 0 && !info->userspace_colo_proxy.val)
        die("an assertion about userspace_colo_proxy");
    return begin(ctx, PLAIN, how);
}

int libxl_domain_resume(libxl_ctx *ctx, uint32_t domid, int cancel, const libxl_asyncop_how *how)
{
    (void)cancel;
    fake_domain((int)domid, RUNNING);
    return begin(ctx, PLAIN, how);
}

int libxl_retrieve_domain_configuration(libxl_ctx *ctx, uint32_t domid,
                                        libxl_domain_config *config, const libxl_asyncop_how *how)
{
    libxl_domain_config_init(config);
    libxl_domain_create_info *c_info = &config->c_info;
    c_info->type = LIBXL_DOMAIN_TYPE_PV;
    c_info->name = strdup("simulated");
    c_info->uuid.uuid[0] = (uint8_t)domid;
    libxl_domain_build_info_init_type(&config->b_info, LIBXL_DOMAIN_TYPE_PV);
    return begin(ctx, RETRIEVE, how);
}

/* Records how long the node map of the domain is that would be built. */
int libxl_domain_create_new(libxl_ctx *ctx, libxl_domain_config *config, uint32_t *domid,
                            const libxl_asyncop_how *how, const libxl_asyncprogress_how *console)
{
    (void)console;
    nodemap_bytes = (int)config->b_info.nodemap.size;
    *domid = 5;
    return begin(ctx, PLAIN, how);
}

int libxl_get_max_nodes(libxl_ctx *ctx)
{
    (void)ctx;
    return nodes;
}

/* State. */

xc_interface *xc_interface_open(xentoollog_logger *logger, xentoollog_logger *build_logger,
                                unsigned flags)
{
    static int connection;
    (void)logger, (void)build_logger, (void)flags;
    return (xc_interface *)&connection;
}

static void describe(xc_domaininfo_t *info, uint32_t domid)
{
    int state = states[domid];
    memset(info, 0, sizeof *info);
    info->handle[0] = (uint8_t)domid;
    info->domain = (domid_t)domid;
    info->max_vcpu_id = 1;
    if (state == RUNNING)
        info->flags = XEN_DOMINF_running;
    else if (state == PAUSED)
        info->flags = XEN_DOMINF_paused;
    else
        info->flags = XEN_DOMINF_shutdown | (uint32_t)(state - SHUTDOWN) << XEN_DOMINF_shutdownshift;
}

int xc_domain_getinfolist(xc_interface *xch, uint32_t first, unsigned most, xc_domaininfo_t *list)
{
    unsigned count = 0;
    (void)xch;
    for (uint32_t domid = first; domid < DOMAINS && count < most; domid++)
        if (states[domid] != GONE)
            describe(&list[count++], domid);
    return (int)count;
}

libxl_device_vsnd *libxl_device_vsnd_list(libxl_ctx *ctx, uint32_t domid, int *count)
{
    (void)ctx, (void)domid;
    if (__atomic_add_fetch(&reading_cards, 1, __ATOMIC_SEQ_CST) > 1)
        __atomic_add_fetch(&overlaps, 1, __ATOMIC_SEQ_CST);
    usleep(2000);
    __atomic_sub_fetch(&reading_cards, 1, __ATOMIC_SEQ_CST);
    *count = fake_card_count();
    if (!*count)
        return NULL;
    libxl_device_vsnd *list = calloc((size_t)*count, sizeof *list);
    for (int n = 0; n < *count; n++) {
        libxl_device_vsnd_init(&list[n]);
        list[n].devid = n;
    }
    return list;
}

int libxl_vdev_to_device_disk(libxl_ctx *ctx, uint32_t domid, const char *vdev,
                              libxl_device_disk *disk)
{
    (void)ctx, (void)domid;
    libxl_device_disk_init(disk);
    disk->vdev = strdup(vdev);
    disk->format = LIBXL_DISK_FORMAT_EMPTY;
    disk->removable = 1;
    disk->is_cdrom = 1;
    return 0;
}

/* Event sources. */

int libxl_evenable_domain_death(libxl_ctx *ctx, uint32_t domid, libxl_ev_user token,
                                libxl_evgen_domain_death **to)
{
    lock(ctx);
    *to = calloc(1, sizeof **to);
    (*to)->domid = domid;
    (*to)->token = token;
    (*to)->next = ctx->deaths;
    ctx->deaths = *to;
    unlock(ctx);
    return 0;
}

void libxl_evdisable_domain_death(libxl_ctx *ctx, libxl_evgen_domain_death *which)
{
    lock(ctx);
    for (struct libxl__evgen_domain_death **at = &ctx->deaths; *at; at = &(*at)->next)
        if (*at == which) {
            *at = which->next;
            break;
        }
    free(which);
    unlock(ctx);
}

int libxl_evenable_disk_eject(libxl_ctx *ctx, uint32_t domid, const char *vdev, libxl_ev_user token,
                              libxl_evgen_disk_eject **to)
{
    (void)vdev;
    lock(ctx);
    *to = calloc(1, sizeof **to);
    (*to)->domid = domid;
    (*to)->token = token;
    (*to)->next = ctx->ejects;
    ctx->ejects = *to;
    unlock(ctx);
    return 0;
}

void libxl_evdisable_disk_eject(libxl_ctx *ctx, libxl_evgen_disk_eject *which)
{
    lock(ctx);
    for (struct libxl__evgen_disk_eject **at = &ctx->ejects; *at; at = &(*at)->next)
        if (*at == which) {
            *at = which->next;
            break;
        }
    free(which);
    unlock(ctx);
}
