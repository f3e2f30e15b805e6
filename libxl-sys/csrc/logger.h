/* A xentoollog logger that hands finished lines and progress to callbacks. */
#ifndef LIBXL_SYS_LOGGER_H
#define LIBXL_SYS_LOGGER_H

#include <stddef.h>
#include <xentoollog.h>

/* level:    an xentoollog_level
 * errnoval: errno of the failure the line is about, or -1
 * context:  the library that speaks ("libxl", "xc", ...), or NULL
 * message:  len bytes without a newline, NUL-terminated; any encoding
 * Called on any thread that is inside libxl. Must not call libxl. */
typedef void libxl_sys_log_callback(void *user, int level, int errnoval, const char *context,
                                    const char *message, size_t len);

/* How far something has come, in units of its own; total is 0 for a mere announcement.
 * context and doing are NUL-terminated, context may be NULL. Otherwise as above. */
typedef void libxl_sys_progress_callback(void *user, const char *context, const char *doing,
                                         unsigned long done, unsigned long total);

/* Returns NULL when out of memory. Lines below min_level are not even formatted. Progress is
 * reported at every level; its callback may be NULL.
 *
 * In a child that libxl has forked no callback is called: another thread of the parent may
 * hold a lock that the callback takes, and in the child nobody would ever release it. There the
 * line goes to standard error in a single write. */
xentoollog_logger *libxl_sys_logger_create(libxl_sys_log_callback *callback,
                                           libxl_sys_progress_callback *progress, void *user,
                                           int min_level);
void libxl_sys_logger_destroy(xentoollog_logger *logger);

/* A report of progress through a logger. */
void libxl_sys_progress(xentoollog_logger *logger, const char *context, const char *doing,
                        unsigned long done, unsigned long total);

/* One line through a logger; xtl_log is variadic. */
void libxl_sys_log(xentoollog_logger *logger, int level, int errnoval, const char *context,
                   const char *message);

#endif
