#include "server/machine/effects.h"

#include "common/base/assert.h"
#include "common/base/hash.h"
#include "common/base/map.h"
#include "common/base/reader.h"
#include "server/machine/keyspace.h"

enum { ARGV_SMALL = 16 };

void effects_init(struct effects *effects)
{
    buf_init(&effects->items, SIZE_MAX / 2);
    effects->count = 0;
}

void effects_deinit(struct effects *effects)
{
    buf_deinit(&effects->items);
}

void effects_clear(struct effects *effects)
{
    buf_clear(&effects->items);
    effects->count = 0;
}

void effects_add(struct effects *effects, struct slice planned)
{
    assert(planned.len >= PLANNED_SIZE_MIN);
    buf_append_bytes(&effects->items, planned);
    effects->count++;
}

/* Appends the keys of one command that `seen` has not; returns how many. Two keys that meet in 64
 * bits: the list lacks one, which nothing rests on, as effects_owned() looks at the commands. */
static size_t add_keys(const struct planned *item, struct map *seen, struct buf *out)
{
    static const uint8_t mark = 1;
    struct reader in = reader_of(item->rest);
    size_t added = 0;
    for (size_t i = 0; i < item->key_count; i++) {
        struct slice key = reader_bytes(&in, UINT32_MAX);
        uint64_t hash = hash_bytes(key);
        if (map_get(seen, hash) == NULL) {
            (void)map_put(seen, hash, (void *)(uintptr_t)&mark);
            buf_append_bytes(out, key);
            added++;
        }
    }
    return added;
}

void effects_write(const struct effects *effects, uint8_t db, struct slice reply, struct buf *out)
{
    assert(reply.len > 0 && reply.len <= EFFECTS_REPLY_SIZE_MAX);
    struct buf keys;
    buf_init(&keys, SIZE_MAX / 2);
    struct map seen;
    map_init(&seen);
    size_t key_count = 0;
    struct reader in = reader_of(buf_slice(&effects->items));
    for (size_t i = 0; i < effects->count; i++) {
        struct planned item;
        enum status status = planned_decode(reader_bytes(&in, UINT32_MAX), &item);
        assert(status == STATUS_OK);
        key_count += item.db == db ? add_keys(&item, &seen, &keys) : 0;
    }
    struct plan plan = {.planned = out};
    planned_begin(&plan, CMD_effects, db, key_count, key_count + 1 + effects->count);
    buf_append_slice(out, buf_slice(&keys));
    planned_bytes(&plan, reply);
    buf_append_slice(out, buf_slice(&effects->items));
    map_deinit(&seen);
    buf_deinit(&keys);
}

bool effects_owned(const struct call *call)
{
    for (size_t i = call->key_count + 1; i < call->args.argc; i++) {
        struct planned item;
        if (planned_decode(call->args.argv[i], &item) != STATUS_OK) {
            return true; /* Applying finds out. */
        }
        struct reader in = reader_of(item.rest);
        for (size_t nth = 0; nth < item.key_count; nth++) {
            if (!keyspace_owns(&call->scope, item.db, reader_bytes(&in, UINT32_MAX))) {
                return false;
            }
        }
    }
    return true;
}

static enum status apply_item(const struct call *whole, struct slice bytes)
{
    struct planned item;
    enum status status = planned_decode(bytes, &item);
    if (status != STATUS_OK) {
        return status;
    }
    if (item.command->id == CMD_effects) {
        return STATUS_CORRUPT; /* They do not nest. */
    }
    struct slice small[ARGV_SMALL];
    struct slice *argv = small;
    if (item.arg_count > ARGV_SMALL) {
        struct buf *room = txn_scratch(whole->txn, SCRATCH_EFFECT);
        argv = (struct slice *)(void *)buf_reserve(room, item.arg_count * sizeof(*argv));
    }
    planned_args(&item, argv);
    struct call call = *whole;
    call.command = item.command;
    call.args = (struct args){.argv = argv, .argc = item.arg_count};
    call.key_count = item.key_count;
    call.db = item.db;
    call.nested = true;
    call.reply = txn_scratch(whole->txn, SCRATCH_ANSWER);
    return call_apply(&call);
}

enum status cmd_effects_plan(const struct machine_plan_input *input, struct plan *plan)
{
    (void)input;
    return planned_refuse(plan, "ERR this command is made by scripts only");
}

enum status cmd_effects_apply(struct call *call)
{
    if (call->args.argc <= call->key_count || call->args.argv[call->key_count].len == 0) {
        return STATUS_CORRUPT;
    }
    for (size_t i = call->key_count + 1; i < call->args.argc; i++) {
        enum status status = apply_item(call, call->args.argv[i]);
        if (status != STATUS_OK) {
            return status;
        }
    }
    buf_append_slice(call->reply, call->args.argv[call->key_count]);
    return STATUS_OK;
}
