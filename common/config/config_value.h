#ifndef COMMON_CONFIG_CONFIG_VALUE_H
#define COMMON_CONFIG_CONFIG_VALUE_H

#include "common/config/config.h"

/* The values of settings as text, for the files of this room. Pure. Any thread. */

/* BAD_ARGUMENT: error (CONFIG_ERROR_SIZE bytes) says what is wrong, without the setting's name, in
 * Redis' words where it has some. *number: the value, or the place of the word of a choice, or 0.
 */
MUST_USE enum status config_value_parse(const struct config_row *row,
                                        struct slice text,
                                        int64_t *number,
                                        char *error);
bool config_value_is_text(enum config_type type);
/* How many letters must be changed, put in or left out to make b of a; letter case does not matter.
 */
size_t config_value_distance(const char *a, const char *b);
/* What stands for the value in --help: "SIZE", "yes|no". */
const char *config_value_kind(const struct config_row *row);

#endif
