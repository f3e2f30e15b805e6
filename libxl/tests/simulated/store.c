/* xenstored's part of the stand-in: connections, watches for domains that appear and for their names, and the requests
 * to guests. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libxl.h>
#include <libxl_utils.h>
#include <xenstore.h>

#define DOMAINS 64

struct text {
    struct text *next;
    char *path, *token;
};

struct transaction {
    xs_transaction_t id; /* 0: none is under way */
    unsigned changes;    /* as many as there were when it began */
    int domid;           /* of the guest whose request it changes; -1: of none */
    char value[16];
};

struct xs_handle {
    struct xs_handle *next;
    struct transaction transaction;
    struct text *watches, *first, **last;
    int pipe[2];
    bool lost;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct xs_handle *handles;
static char names[DOMAINS][32], requests[DOMAINS][16];
static unsigned changes;
static int races, connecting, crowds;
static bool down;

static struct text *text(const char *path, const char *token)
{
    struct text *new = calloc(1, sizeof *new);
    new->path = strdup(path);
    new->token = strdup(token);
    return new;
}

static void release(struct text *list)
{
    while (list) {
        struct text *next = list->next;
        free(list->path);
        free(list->token);
        free(list);
        list = next;
    }
}

static void queue(struct xs_handle *h, const char *path, const char *token)
{
    *h->last = text(path, token);
    h->last = &(*h->last)->next;
    if (write(h->pipe[1], "", 1) < 0) { }
}

static void fire(const char *path)
{
    for (struct xs_handle *h = handles; h; h = h->next)
        for (struct text *watch = h->watches; watch && !h->lost; watch = watch->next)
            if (!strcmp(watch->path, path))
                queue(h, path, watch->token);
}

static void name_path(char *to, size_t size, unsigned domid)
{
    snprintf(to, size, "/local/domain/%u/name", domid);
}

/* What the tests ask for. */

void fake_introduce(void)
{
    pthread_mutex_lock(&lock);
    fire("@introduceDomain");
    pthread_mutex_unlock(&lock);
}

/* The domain is called by its id and this number; it has no name if that is negative. */
void fake_name(int domid, int number)
{
    char path[64];
    name_path(path, sizeof path, (unsigned)domid);
    pthread_mutex_lock(&lock);
    if (number < 0)
        snprintf(names[domid], sizeof names[domid], "-");
    else
        snprintf(names[domid], sizeof names[domid], "d%d-%d", domid, number);
    fire(path);
    pthread_mutex_unlock(&lock);
}

/* xenstored goes away, and says so to nobody; or it is there again. */
void fake_store(int up)
{
    pthread_mutex_lock(&lock);
    down = !up;
    for (struct xs_handle *h = handles; h && down; h = h->next)
        h->lost = true;
    pthread_mutex_unlock(&lock);
}

/* In so many of the next transactions somebody else changes a request. */
void fake_races(int count)
{
    pthread_mutex_lock(&lock);
    races = count;
    pthread_mutex_unlock(&lock);
}

/* Asks a guest, as libxl does. */
void fake_request(int domid, const char *request)
{
    pthread_mutex_lock(&lock);
    snprintf(requests[domid], sizeof requests[domid], "%s", request);
    changes++;
    pthread_mutex_unlock(&lock);
}

int fake_store_watches(void)
{
    int count = 0;
    pthread_mutex_lock(&lock);
    for (struct xs_handle *h = handles; h; h = h->next)
        for (struct text *watch = h->watches; watch; watch = watch->next)
            count++;
    pthread_mutex_unlock(&lock);
    return count;
}

/* libxenstore. */

/* It writes the path of its socket into one place for the whole process, and reads it there. */
void fake_connect(void)
{
    if (__atomic_add_fetch(&connecting, 1, __ATOMIC_SEQ_CST) > 1)
        __atomic_add_fetch(&crowds, 1, __ATOMIC_SEQ_CST);
    usleep(500);
    __atomic_sub_fetch(&connecting, 1, __ATOMIC_SEQ_CST);
}

/* Number of times that a thread connected while another did. */
int fake_crowds(void) { return crowds; }

struct xs_handle *xs_open(unsigned long flags)
{
    struct xs_handle *h = calloc(1, sizeof *h);
    (void)flags;
    fake_connect();
    pthread_mutex_lock(&lock);
    if (down || pipe2(h->pipe, O_CLOEXEC | O_NONBLOCK)) {
        pthread_mutex_unlock(&lock);
        free(h);
        errno = ECONNREFUSED;
        return NULL;
    }
    h->last = &h->first;
    h->next = handles;
    handles = h;
    pthread_mutex_unlock(&lock);
    return h;
}

void xs_close(struct xs_handle *h)
{
    pthread_mutex_lock(&lock);
    for (struct xs_handle **at = &handles; *at; at = &(*at)->next)
        if (*at == h) {
            *at = h->next;
            break;
        }
    pthread_mutex_unlock(&lock);
    release(h->watches);
    release(h->first);
    close(h->pipe[0]);
    close(h->pipe[1]);
    free(h);
}

static bool reachable(struct xs_handle *h)
{
    if (h->lost)
        errno = EBADF;
    return !h->lost;
}

/* The domain whose request the path leads to, or -1. */
static int of_request(const char *path)
{
    unsigned domid;
    char rest[32];
    if (sscanf(path, "/local/domain/%u/%31s", &domid, rest) != 2 || strcmp(rest, "control/shutdown"))
        return -1;
    return domid < DOMAINS ? (int)domid : -1;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
    int domid = of_request(path);
    const char *value = domid < 0 ? "Domain-0" : requests[domid];
    if (!reachable(h))
        return NULL;
    pthread_mutex_lock(&lock);
    if (t && domid >= 0 && domid == h->transaction.domid)
        value = h->transaction.value;
    *len = (unsigned)strlen(value);
    char *copy = strdup(value);
    pthread_mutex_unlock(&lock);
    return copy;
}

/* The ids of the domains that have a name. Nothing else has entries. */
char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *num)
{
    (void)t;
    if (!reachable(h))
        return NULL;
    if (strcmp(path, "/local/domain")) {
        errno = ENOENT;
        return NULL;
    }
    pthread_mutex_lock(&lock);
    char **result = malloc(DOMAINS * (sizeof *result + 4));
    char *end = (char *)(result + DOMAINS);
    *num = 0;
    for (unsigned domid = 0; domid < DOMAINS; domid++)
        if (names[domid][0] && names[domid][0] != '-') {
            result[(*num)++] = end;
            end += sprintf(end, "%u", domid) + 1;
        }
    pthread_mutex_unlock(&lock);
    return result;
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path, const void *data,
              unsigned int len)
{
    int domid = of_request(path);
    char value[16];
    if (!reachable(h))
        return false;
    if (domid < 0 || len >= sizeof value) {
        errno = EACCES;
        return false;
    }
    memcpy(value, data, len);
    value[len] = 0;
    if (!t) {
        fake_request(domid, value);
        return true;
    }
    pthread_mutex_lock(&lock);
    h->transaction.domid = domid;
    memcpy(h->transaction.value, value, sizeof value);
    pthread_mutex_unlock(&lock);
    return true;
}

xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
    static xs_transaction_t last;
    if (!reachable(h))
        return 0;
    pthread_mutex_lock(&lock);
    h->transaction = (struct transaction){ .id = ++last, .changes = changes, .domid = -1 };
    pthread_mutex_unlock(&lock);
    return last;
}

bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort)
{
    bool conflict, race = false;
    if (!reachable(h))
        return false;
    pthread_mutex_lock(&lock);
    struct transaction ended = h->transaction;
    h->transaction.id = 0;
    if (!abort && races > 0) {
        races--;
        race = true;
    }
    conflict = ended.changes != changes || race;
    if (ended.id == t && !abort && !conflict && ended.domid >= 0) {
        memcpy(requests[ended.domid], ended.value, sizeof ended.value);
        changes++;
    }
    pthread_mutex_unlock(&lock);
    if (ended.id != t || !t) {
        errno = ENOENT;
        return false;
    }
    if (!abort && conflict)
        errno = EAGAIN;
    return abort || !conflict;
}

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
    if (!reachable(h))
        return false;
    pthread_mutex_lock(&lock);
    struct text *watch = text(path, token);
    watch->next = h->watches;
    h->watches = watch;
    queue(h, path, token);
    pthread_mutex_unlock(&lock);
    return true;
}

bool xs_unwatch(struct xs_handle *h, const char *path, const char *token)
{
    if (!reachable(h))
        return false;
    pthread_mutex_lock(&lock);
    for (struct text **at = &h->watches; *at; at = &(*at)->next)
        if (!strcmp((*at)->path, path) && !strcmp((*at)->token, token)) {
            struct text *gone = *at;
            *at = gone->next;
            gone->next = NULL;
            release(gone);
            break;
        }
    pthread_mutex_unlock(&lock);
    return true;
}

int xs_fileno(struct xs_handle *h)
{
    return h->pipe[0];
}

char **xs_check_watch(struct xs_handle *h)
{
    char **result = NULL, byte;
    pthread_mutex_lock(&lock);
    struct text *event = h->first;
    if (event) {
        h->first = event->next;
        if (!h->first)
            h->last = &h->first;
        if (read(h->pipe[0], &byte, 1) < 0) { }
        size_t path = strlen(event->path) + 1, token = strlen(event->token) + 1;
        result = malloc(2 * sizeof *result + path + token);
        result[0] = memcpy((char *)(result + 2), event->path, path);
        result[1] = memcpy(result[0] + path, event->token, token);
        event->next = NULL;
        release(event);
    } else
        errno = EAGAIN;
    pthread_mutex_unlock(&lock);
    return result;
}

/* Of libxl. */
char *libxl_domid_to_name(libxl_ctx *ctx, uint32_t domid)
{
    char *name = NULL;
    (void)ctx;
    pthread_mutex_lock(&lock);
    if (domid < DOMAINS && !names[domid][0])
        snprintf(names[domid], sizeof names[domid], "d%u-0", domid);
    if (domid < DOMAINS && names[domid][0] != '-')
        name = strdup(names[domid]);
    pthread_mutex_unlock(&lock);
    return name;
}
