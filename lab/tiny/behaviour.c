#include "behaviour.h"

#include <stdbool.h>
#include <stddef.h>
#include <xen/sched.h>

#define NANOSECONDS 1000000000

static const struct {
    const char *word;
    unsigned reason;
} reasons[] = {
    { "poweroff", SHUTDOWN_poweroff },
    { "halt", SHUTDOWN_poweroff },
    { "reboot", SHUTDOWN_reboot },
    { "suspend", SHUTDOWN_suspend },
    { "crash", SHUTDOWN_crash },
    { "soft-reset", SHUTDOWN_soft_reset },
    { "triple-fault", TRIPLE_FAULT },
    { "none", NO_ACTION },
};

/* A word ends with the string or at a space. */
static bool ends(char byte)
{
    return byte == 0 || byte == ' ';
}

/* Whether `word` begins with all of `start`, which is then skipped. */
static bool skip(const char **word, const char *start)
{
    const char *at = *word;

    while (*start)
        if (*at++ != *start++)
            return false;
    *word = at;
    return true;
}

static bool parse_number(const char **word, uint64_t *number)
{
    const char *at = *word;

    for (*number = 0; *at >= '0' && *at <= '9'; at++)
        *number = *number * 10 + (*at - '0');
    if (at == *word)
        return false;
    *word = at;
    return true;
}

static bool parse_word(const char *word, unsigned *reason)
{
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        const char *at = word;

        if (skip(&at, reasons[i].word) && ends(*at)) {
            *reason = reasons[i].reason;
            return true;
        }
    }
    return false;
}

/* A word or a number. */
static bool parse_reason(const char *word, unsigned *reason)
{
    uint64_t number;

    if (parse_word(word, reason))
        return true;
    if (!parse_number(&word, &number) || !ends(*word) || number > 255)
        return false;
    *reason = number;
    return true;
}

/* Seconds, with decimals if it must be. */
static bool parse_time(const char *word, uint64_t *nanoseconds)
{
    uint64_t unit = NANOSECONDS;

    if (!parse_number(&word, nanoseconds))
        return false;
    *nanoseconds *= unit;
    if (skip(&word, "."))
        for (; *word >= '0' && *word <= '9'; word++)
            *nanoseconds += (*word - '0') * (unit /= 10);
    return ends(*word);
}

static bool parse_requests(const char *word, enum requests *requests)
{
    *requests = skip(&word, "ignore") ? IGNORE : skip(&word, "acknowledge") ? ACKNOWLEDGE : OBEY;
    return (*requests != OBEY || skip(&word, "obey")) && ends(*word);
}

static bool parse(struct behaviour *behaviour, const char *word)
{
    if (!skip(&word, "lab."))
        return true;
    if (skip(&word, "action="))
        return parse_reason(word, &behaviour->action);
    if (skip(&word, "after="))
        return parse_time(word, &behaviour->after);
    if (skip(&word, "resumed="))
        return parse_reason(word, &behaviour->resumed);
    if (skip(&word, "resumed-after="))
        return parse_time(word, &behaviour->resumed_after);
    if (skip(&word, "requests="))
        return parse_requests(word, &behaviour->requests);
    if (skip(&word, "deaf="))
        return parse_time(word, &behaviour->deaf);
    if (skip(&word, "suspend-after="))
        return parse_time(word, &behaviour->suspend_after);
    if (skip(&word, "tick="))
        return parse_time(word, &behaviour->tick);
    return false;
}

const char *behaviour_parse(struct behaviour *behaviour, const char *command_line)
{
    *behaviour = (struct behaviour){ .action = NO_ACTION, .resumed = NO_ACTION };
    for (const char *word = command_line; *word;) {
        if (!parse(behaviour, word))
            return word;
        while (!ends(*word))
            word++;
        while (*word == ' ')
            word++;
    }
    return NULL;
}

unsigned behaviour_reason(const char *word)
{
    unsigned reason = NO_ACTION;

    parse_word(word, &reason);
    return reason;
}
