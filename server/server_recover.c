/* SHERD REPLICA: what sherd-admin recover asks of a node about its own replicas.
 *
 *   LIST                           all of them
 *   REBIRTH shard replica fresh    that one becomes a group of its own, as replica fresh */

#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/number.h"
#include "common/proto/resp.h"
#include "server/server_private.h"
#include "server/worker_recover.h"

struct errand {
    struct request *request;
    size_t waiting;
    size_t count;
    struct recover_ask asks[];
};

static void fail(struct request *request, enum status status)
{
    char text[160];
    const char *code = "ERR";
    const char *why = status_text(status);
    if (status == STATUS_BUSY) {
        code = "TRYAGAIN";
        why = "the group has a leader, or the replica is at work";
    } else if (status == STATUS_NO_SHARD) {
        code = "GONE";
    } else if (status == STATUS_BAD_ARGUMENT) {
        why = "the replica has no data, or the new id is not greater than its own";
    } else if (status_class(status) == STATUS_CLASS_RETRY_LATER || status == STATUS_CLOSED) {
        code = "TRYAGAIN";
    }
    (void)snprintf(text, sizeof(text), "%s %s", code, why);
    request_fail(request, text);
}

static void answer(const struct errand *errand)
{
    struct buf reply;
    size_t elements = 0;
    buf_init(&reply, 1 << 30);
    for (size_t i = 0; i < errand->count; i++) {
        elements += errand->asks[i].count;
    }
    if (errand->asks[0].rebirth) {
        resp_write_ok(&reply);
    } else {
        resp_write_array(&reply, elements);
    }
    for (size_t i = 0; i < errand->count; i++) {
        buf_append_slice(&reply, buf_slice(&errand->asks[i].reply));
    }
    request_finish(errand->request, buf_slice(&reply));
    buf_deinit(&reply);
}

static void on_done(struct recover_ask *ask)
{
    struct errand *errand = ask->owner;
    assert(errand->waiting > 0);
    errand->waiting--;
    if (errand->waiting > 0) {
        return;
    }
    enum status status = STATUS_OK;
    for (size_t i = 0; i < errand->count && status == STATUS_OK; i++) {
        status = errand->asks[i].status;
    }
    if (status == STATUS_OK) {
        answer(errand);
    } else {
        fail(errand->request, status);
    }
    for (size_t i = 0; i < errand->count; i++) {
        buf_deinit(&errand->asks[i].reply);
    }
    free(errand);
}

void server_recover(struct lane *lane, struct request *request)
{
    struct recover_ask first = {0};
    struct args args = request->args;
    bool list = args.argc == 3 && command_word(args.argv[2], "list");
    first.rebirth = args.argc == 6 && command_word(args.argv[2], "rebirth") &&
                    number_parse_u64(args.argv[3], &first.shard) &&
                    number_parse_u64(args.argv[4], &first.replica) &&
                    number_parse_u64(args.argv[5], &first.fresh) &&
                    first.fresh >> RECOVER_REPLICA_BITS == 0;
    if (!list && !first.rebirth) {
        request_fail(request, "ERR unknown SHERD REPLICA subcommand: sherd-admin recover uses it");
        return;
    }
    if (lane->closing) {
        request_fail(request, "LOADING this node is stopping");
        return;
    }
    size_t count = first.rebirth ? 1 : lane->server->loops;
    struct errand *errand = calloc(1, sizeof(*errand) + count * sizeof(errand->asks[0]));
    assert(errand != NULL);
    errand->request = request;
    errand->count = count;
    errand->waiting = count;
    for (size_t i = 0; i < count; i++) {
        struct recover_ask *ask = &errand->asks[i];
        *ask = first;
        ask->owner = errand;
        ask->done = on_done;
        buf_init(&ask->reply, 1 << 29);
        unsigned loop = first.rebirth ? worker_loop_of(lane->worker, first.shard) : (unsigned)i;
        worker_recover_ask(lane->worker, loop, ask);
    }
}
