#include "common/proto/block.h"

#include <math.h>

#include "common/base/number.h"

/* 2^63: what is more does not fit a signed number, which Redis then takes for a negative one. */
static const long double too_long = 9223372036854775808.0L;

const char *block_seconds(struct slice text, uint64_t *timeout_ms)
{
    long double seconds = 0;
    if (!number_parse_float(text, &seconds)) {
        return "ERR timeout is not a float or out of range";
    }
    long double ms = ceill(seconds * 1000.0L);
    if (ms < 0 || ms >= too_long) {
        return "ERR timeout is negative";
    }
    *timeout_ms = ms == 0 ? BLOCK_FOREVER : (uint64_t)ms;
    return NULL;
}

const char *block_milliseconds(struct slice text, uint64_t *timeout_ms)
{
    int64_t ms = 0;
    if (!number_parse_i64(text, &ms)) {
        return "ERR timeout is not an integer or out of range";
    }
    if (ms < 0) {
        return "ERR timeout is negative";
    }
    *timeout_ms = ms == 0 ? BLOCK_FOREVER : (uint64_t)ms;
    return NULL;
}

/* The value of the option BLOCK, which stands before STREAMS. */
static bool find_option(struct args args, struct slice *value)
{
    for (size_t i = 1; i + 1 < args.argc && !command_word(args.argv[i], "streams"); i++) {
        if (command_word(args.argv[i], "group")) {
            i += 2; /* Its group and consumer may have any name. */
        } else if (command_word(args.argv[i], "block")) {
            *value = args.argv[i + 1];
            return true;
        } else if (command_word(args.argv[i], "count")) {
            i++;
        }
    }
    return false;
}

uint64_t block_timeout(const struct command *command, struct args args)
{
    uint64_t timeout_ms = 0;
    if ((command->flags & CMD_BLOCKING) == 0 || args.argc < 2) {
        return 0;
    }
    if ((command->flags & CMD_STREAMS) != 0) {
        struct slice value;
        bool blocks = find_option(args, &value) && block_milliseconds(value, &timeout_ms) == NULL;
        return blocks ? timeout_ms : 0;
    }
    /* Those that count their keys have it in front. */
    bool counted = (command->flags >> CMD_NUMKEYS_SHIFT & CMD_NUMKEYS_MASK) != 0;
    struct slice text = args.argv[counted ? 1 : args.argc - 1];
    return block_seconds(text, &timeout_ms) == NULL ? timeout_ms : 0;
}
