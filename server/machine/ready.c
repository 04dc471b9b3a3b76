/* What commands that wait are waiting for: machine_ready(), machine_wants(), machine_feeds(). */

#include "common/base/assert.h"
#include "server/machine/keyspace.h"
#include "server/machine/stream_wait.h"

/* Of what nobody knows before: the others are tried when it was applied. */
enum { FEEDS_UNKNOWN = 2 };

struct rule {
    uint8_t type;
    uint8_t keys; /* Which of its keys: so many; 0: all. */
    /* For values of which it is not enough that they are there. */
    enum status (*find)(struct call *call, bool first, uint64_t *count);
};

static const struct rule rules[CMD_COUNT] = {
    [CMD_blpop] = {.type = KEYSPACE_LIST},
    [CMD_brpop] = {.type = KEYSPACE_LIST},
    [CMD_blmpop] = {.type = KEYSPACE_LIST},
    [CMD_blmove] = {.type = KEYSPACE_LIST, .keys = 1},
    [CMD_brpoplpush] = {.type = KEYSPACE_LIST, .keys = 1},
    [CMD_bzpopmin] = {.type = KEYSPACE_ZSET},
    [CMD_bzpopmax] = {.type = KEYSPACE_ZSET},
    [CMD_bzmpop] = {.type = KEYSPACE_ZSET},
    [CMD_xread] = {.type = KEYSPACE_STREAM, .find = stream_wait_read},
    [CMD_xreadgroup] = {.type = KEYSPACE_STREAM, .find = stream_wait_group},
};

bool machine_waits(const struct command *command)
{
    return rules[command->id].type != 0;
}

bool machine_wants(const struct command *command,
                   struct args args,
                   size_t nth,
                   struct machine_want *want)
{
    const struct rule *rule = &rules[command->id];
    assert(rule->type != 0);
    want->type = rule->type;
    want->index = rule->keys != 0 && nth >= rule->keys ? 0 : command_key_at(command, args, nth);
    return want->index != 0;
}

static enum status find_any(struct call *call, bool first, uint64_t *count)
{
    struct machine_want want;
    for (size_t nth = 0; machine_wants(call->command, call->args, nth, &want); nth++) {
        struct row row;
        struct slice key = call->args.argv[want.index];
        enum status status = keyspace_load(call, SLOT_A, call->db, key, &row);
        if (status != STATUS_OK) {
            return status;
        }
        if (row.found && row.type != want.type && first) {
            *count = 1;
            return STATUS_OK;
        }
        if (row.found && row.type == want.type && row.size > 0) {
            *count = row.size;
            return STATUS_OK;
        }
    }
    return STATUS_OK;
}

enum status machine_ready(struct txn *txn,
                          const struct machine_state *state,
                          const struct machine_read_input *input,
                          bool first,
                          uint64_t *count)
{
    const struct rule *rule = &rules[input->command->id];
    assert(rule->type != 0);
    struct call call = {.txn = txn,
                        .seen = state,
                        .scope = input->scope,
                        .command = input->command,
                        .args = input->args,
                        .db = input->db,
                        .now_ms = input->now_ms,
                        .frozen = input->frozen};
    *count = 0;
    return rule->find != NULL ? rule->find(&call, first, count) : find_any(&call, first, count);
}

size_t machine_feeds(const struct command *command, size_t arg_count, size_t nth)
{
    switch ((int)command->id) {
    case CMD_lpush:
    case CMD_rpush: return arg_count - 1;
    case CMD_xadd: return 1;
    case CMD_lmove: return nth == 1 ? 1 : 0;
    case CMD_lpushx: /* There were elements before: nobody waits. */
    case CMD_rpushx:
    case CMD_linsert:
    case CMD_lset:
    case CMD_set:
    case CMD_xgroup: /* Something is new for a group when it was applied. */
    case CMD_xsetid: return 0;
    case CMD_rename:
    case CMD_renamenx: return nth == 1 ? FEEDS_UNKNOWN : 0;
    default: break;
    }
    bool may = (command->flags & (CMD_GROWS | CMD_ANY_KEY)) != 0;
    return may ? FEEDS_UNKNOWN : 0;
}
