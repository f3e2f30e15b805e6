/* What the command line says; README.md lists the parameters. */
#pragma once

#include <stdint.h>

/* In place of a reason to shut down for. */
#define NO_ACTION 256
/* Not a reason: the processor cannot go on, which Xen takes for a reset. PVH and HVM only. */
#define TRIPLE_FAULT 257

enum requests {
    OBEY,
    /* Acknowledge, and do nothing more. */
    ACKNOWLEDGE,
    /* Do not even acknowledge. */
    IGNORE,
};

struct behaviour {
    /* A reason to shut down for, and nanoseconds: after the start, and after every time that the domain goes on. */
    unsigned action, resumed;
    uint64_t after, resumed_after;
    /* What becomes of those in control/shutdown. */
    enum requests requests;
    /* Nanoseconds from the start in which it does not look there, as a guest whose drivers are not up yet. */
    uint64_t deaf;
    /* Nanoseconds from acknowledging a suspend to suspending. */
    uint64_t suspend_after;
    /* Nanoseconds between reports of the uptime; 0 for none. */
    uint64_t tick;
};

/* Returns the word that is not understood, or NULL. */
const char *behaviour_parse(struct behaviour *behaviour, const char *command_line);

/* The reason that a word stands for, or NO_ACTION. */
unsigned behaviour_reason(const char *word);
