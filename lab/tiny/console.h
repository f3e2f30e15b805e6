/* The console. */
#pragma once

/* Writes a line. Knows %s, and %u for a uint64_t. What finds no place in the ring is lost: nobody may be there to read it. */
void say(const char *format, ...);
