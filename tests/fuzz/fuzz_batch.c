/* Any bytes as a transaction in the log: decoded or CORRUPT; what decodes has parts within the
 * bytes and can be walked through to its end. */

#include <stdlib.h>

#include "common/base/assert.h"
#include "server/machine/batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool inside(struct slice part, struct slice all)
{
    return part.len == 0 || (part.data >= all.data && part.data + part.len <= all.data + all.len);
}

static void check_args(const struct planned *planned, struct slice all)
{
    struct slice *argv = calloc(planned->arg_count + 1, sizeof(*argv));
    assert(argv != NULL);
    planned_args(planned, argv);
    for (size_t i = 0; i < planned->arg_count; i++) {
        assert(inside(argv[i], all));
    }
    free(argv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice all = slice_of(data, size);
    struct batch batch;
    if (batch_open(all, &batch) != STATUS_OK) {
        return 0;
    }
    struct batch_watch watch;
    while (batch_next_watch(&batch, &watch)) {
        assert(watch.db < MACHINE_DATABASES && inside(watch.key, all));
    }
    struct batch_item item;
    while (batch_next_item(&batch, &item)) {
        if (item.kind == BATCH_REPLY) {
            assert(item.reply.len > 0 && inside(item.reply, all));
            continue;
        }
        unsigned wanted = item.kind == BATCH_WRITE ? CMD_WRITE : CMD_READ;
        assert((item.planned.command->flags & wanted) != 0);
        assert(item.planned.command->id != CMD_batch);
        check_args(&item.planned, all);
    }
    return 0;
}
