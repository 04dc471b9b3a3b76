#include "server/machine/expiry.h"

#include "common/base/assert.h"
#include "common/base/number.h"

static const char *const invalid_time = "ERR invalid expire time in '%s' command";

enum expiry_unit expiry_option_unit(struct slice word)
{
    static const char *const words[] = {
        [EXPIRY_EX] = "ex", [EXPIRY_PX] = "px", [EXPIRY_EXAT] = "exat", [EXPIRY_PXAT] = "pxat"};
    for (enum expiry_unit unit = EXPIRY_EX; unit <= EXPIRY_PXAT; unit++) {
        if (command_word(word, words[unit])) {
            return unit;
        }
    }
    return EXPIRY_NONE;
}

const char *expiry_time(enum expiry_unit unit,
                        struct slice value,
                        uint64_t now_ms,
                        int64_t *expire_ms)
{
    assert(unit != EXPIRY_NONE);
    assert(now_ms <= INT64_MAX);
    int64_t time = 0;
    if (!number_parse_i64(value, &time)) {
        return ERR_NOT_INTEGER;
    }
    if ((unit == EXPIRY_EX || unit == EXPIRY_EXAT) && __builtin_mul_overflow(time, 1000, &time)) {
        return invalid_time;
    }
    if ((unit == EXPIRY_EX || unit == EXPIRY_PX) &&
        __builtin_add_overflow(time, (int64_t)now_ms, &time)) {
        return invalid_time;
    }
    *expire_ms = time;
    return NULL;
}

const char *expiry_option_time(const struct expiry_option *option,
                               uint64_t now_ms,
                               uint64_t *expire_ms)
{
    int64_t time = 0;
    if (!number_parse_i64(option->value, &time)) {
        return ERR_NOT_INTEGER;
    }
    if (time <= 0) {
        return invalid_time;
    }
    const char *error = expiry_time(option->unit, option->value, now_ms, &time);
    if (error == NULL) {
        *expire_ms = (uint64_t)time;
    }
    return error;
}

void expiry_write_error(struct buf *reply, const char *error, const struct command *command)
{
    if (strcmp(error, invalid_time) == 0) {
        resp_write_errorf(reply, "ERR invalid expire time in '%s' command", command->name);
    } else {
        resp_write_error(reply, error);
    }
}
