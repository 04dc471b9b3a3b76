#ifndef SERVER_MACHINE_EXPIRY_H
#define SERVER_MACHINE_EXPIRY_H

#include "server/machine/handlers.h"

/* Times in arguments: relative or absolute, in seconds or milliseconds, to absolute milliseconds.
 * Semantics: Redis 7.0 t_string.c getExpireMillisecondsOrReply() and expire.c. Pure. */

enum expiry_unit { EXPIRY_NONE, EXPIRY_EX, EXPIRY_PX, EXPIRY_EXAT, EXPIRY_PXAT };

struct expiry_option {
    enum expiry_unit unit;
    struct slice value;
};

/* EXPIRY_NONE if the word is none of EX, PX, EXAT, PXAT. */
enum expiry_unit expiry_option_unit(struct slice word);

/* NULL, or what expiry_write_error() makes the error of. An option's time is positive. */
const char *expiry_option_time(const struct expiry_option *option,
                               uint64_t now_ms,
                               uint64_t *expire_ms);
/* The same for EXPIRE and its relatives, where the time may be negative or over. */
const char *expiry_time(enum expiry_unit unit,
                        struct slice value,
                        uint64_t now_ms,
                        int64_t *expire_ms);

/* The errors name the command. */
void expiry_write_error(struct buf *reply, const char *error, const struct command *command);

#endif
