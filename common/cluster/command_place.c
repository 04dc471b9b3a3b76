#include "common/cluster/command_place.h"

#include "common/base/sha1.h"
#include "common/cluster/token.h"

bool command_place_cursor(struct slice text, uint64_t *cursor)
{
    if (text.len == 0 || text.len > 20) {
        return false;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)digit, &value)) {
            return false;
        }
    }
    *cursor = value;
    return true;
}

bool command_place_colocated(const struct command *command, uint8_t db)
{
    bool whole = command->id == CMD_flushall || command->id == CMD_usage ||
                 (command->flags & CMD_INTERNAL) != 0;
    return db != 0 && !whole;
}

bool command_place_everywhere(const struct command *command)
{
    switch (command->merge) {
    case MERGE_ALL_SUM:
    case MERGE_ALL_OK:
    case MERGE_ALL_SAME:
    case MERGE_ALL_ONE:
    case MERGE_ALL_CONCAT:
    case MERGE_ALL_FOUND:
    case MERGE_ANY: return true;
    case MERGE_NONE:
    case MERGE_ORDER:
    case MERGE_SUM:
    case MERGE_OK:
    case MERGE_SCAN: return false;
    }
    return false;
}

bool command_place_exact(const struct command *command, uint8_t db)
{
    bool node = (command->flags & CMD_NODE) != 0; /* Knows of no keys. */
    if (node || command->merge == MERGE_ANY || command->merge == MERGE_ALL_ONE ||
        command->merge == MERGE_ALL_FOUND) {
        return false;
    }
    if (command->merge == MERGE_SCAN) {
        return db == 0;
    }
    return command_place_everywhere(command) && !command_place_colocated(command, db);
}

/* A script goes where its SHA-1 says, so that different ones are spread, and each is where it was
 * before; what is no script, to the first shard. */
static uint64_t script_token(const struct command *command, const struct args *args)
{
    uint8_t sum[SHA1_SIZE];
    bool text = command->id == CMD_eval || command->id == CMD_eval_ro;
    bool sha = command->id == CMD_evalsha || command->id == CMD_evalsha_ro;
    if ((!text && !sha) || args->argc < 2) {
        return 0;
    }
    if (text) {
        sha1_bytes(args->argv[1], sum);
    } else if (!sha1_parse(args->argv[1], sum)) {
        return 0;
    }
    return token_of_key(slice_of(sum, sizeof(sum)));
}

bool command_place_keyless(const struct command *command,
                           const struct args *args,
                           uint8_t db,
                           uint64_t *token)
{
    bool all = command_place_everywhere(command);
    if (all ? command_place_colocated(command, db) : db != 0) {
        *token = token_of(db, slice_of(NULL, 0));
        return true;
    }
    if (all) {
        return false;
    }
    if (command->merge == MERGE_SCAN) {
        *token = 0;
        return args->argc > 1 && command_place_cursor(args->argv[1], token);
    }
    *token = script_token(command, args);
    return true;
}
