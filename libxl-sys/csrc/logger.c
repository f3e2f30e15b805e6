#include "logger.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Enough for nearly every line of libxl, and small beside the stack of a domain's thread. */
#define LINE 512

struct logger {
    xentoollog_logger vtable; /* first: libxl only knows this part */
    libxl_sys_log_callback *callback;
    libxl_sys_progress_callback *progress;
    void *user;
    int min_level;
    pid_t owner;
};

static void write_in_child(int level, const char *context, const char *message)
{
    char line[LINE];
    int len = snprintf(line, sizeof line, "libxl child %ld: %s%s%s: %s\n", (long)getpid(),
                       context ? context : "", context ? ": " : "",
                       xtl_level_to_string((xentoollog_level)level), message);
    if (len < 0)
        return;
    if ((size_t)len >= sizeof line) {
        len = sizeof line;
        line[len - 1] = '\n';
    }
    /* Nothing can be done about a failure here. */
    if (write(STDERR_FILENO, line, (size_t)len) < 0) { }
}

static void deliver(struct logger *logger, int level, int errnoval, const char *context,
                    const char *message, size_t len)
{
    if (getpid() == logger->owner)
        logger->callback(logger->user, level, errnoval, context, message, len);
    else
        write_in_child(level, context, message);
}

static void vmessage(xentoollog_logger *base, xentoollog_level level, int errnoval,
                     const char *context, const char *format, va_list args)
{
    struct logger *logger = (struct logger *)base;
    /* libxc relies on errno surviving its own log lines. */
    int saved = errno;
    char line[LINE];
    va_list again;
    int len;

    if ((int)level < logger->min_level)
        return;
    va_copy(again, args);
    len = vsnprintf(line, sizeof line, format, args);
    if (len < 0) {
        static const char failed[] = "(a log line that could not be formatted)";
        deliver(logger, level, errnoval, context, failed, sizeof failed - 1);
    } else if ((size_t)len < sizeof line) {
        deliver(logger, level, errnoval, context, line, (size_t)len);
    } else {
        char *whole = malloc((size_t)len + 1);
        if (whole && vsnprintf(whole, (size_t)len + 1, format, again) == len)
            deliver(logger, level, errnoval, context, whole, (size_t)len);
        else
            deliver(logger, level, errnoval, context, line, sizeof line - 1);
        free(whole);
    }
    va_end(again);
    errno = saved;
}

static void progress(xentoollog_logger *base, const char *context, const char *doing, int percent,
                     unsigned long done, unsigned long total)
{
    struct logger *logger = (struct logger *)base;
    int saved = errno;

    if (logger->progress && getpid() == logger->owner)
        logger->progress(logger->user, context, doing, done, total);
    errno = saved;
    xtl_log(base, XTL_PROGRESS, -1, context, "%s: %lu of %lu (%d%%)", doing, done, total, percent);
}

xentoollog_logger *libxl_sys_logger_create(libxl_sys_log_callback *callback,
                                           libxl_sys_progress_callback *on_progress, void *user,
                                           int min_level)
{
    struct logger *logger = calloc(1, sizeof *logger);
    if (!logger)
        return NULL;
    logger->vtable.vmessage = vmessage;
    logger->vtable.progress = progress;
    logger->callback = callback;
    logger->progress = on_progress;
    logger->user = user;
    logger->min_level = min_level;
    logger->owner = getpid();
    return &logger->vtable;
}

void libxl_sys_logger_destroy(xentoollog_logger *logger)
{
    free(logger);
}

void libxl_sys_progress(xentoollog_logger *logger, const char *context, const char *doing,
                        unsigned long done, unsigned long total)
{
    xtl_progress(logger, context, doing, done, total);
}

void libxl_sys_log(xentoollog_logger *logger, int level, int errnoval, const char *context,
                   const char *message)
{
    xtl_log(logger, (xentoollog_level)level, errnoval, context, "%s", message);
}
