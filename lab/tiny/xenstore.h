/* The part of xenstore that this domain may see. Paths are relative to the domain's own. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Forgets half-read messages of an earlier connection. */
void xenstore_reset(void);

/* Has every change of the node reported, and one at once. */
void xenstore_watch(const char *path);

/* Waits for such a report until the deadline (see event_wait); false if there is none. */
bool xenstore_wait(uint64_t deadline);

/* Reads a node as a string, which is empty if there is no node. What does not fit is cut off. */
void xenstore_read(const char *path, char *value, size_t size);

/* Makes the node an empty one. */
void xenstore_clear(const char *path);
