#include "common/base/assert.h"
#include "common/proto/topic.h"
#include "server/machine/event.h"
#include "server/machine/keyspace.h"
#include "server/machine/planned.h"

/* Scripts as the machine sees them: sources that SCRIPT LOAD brought, one row each, and what says
 * that running them is not its work. */

static enum status refuse_plan(struct plan *plan)
{
    return planned_refuse(plan, "ERR this node does not run scripts");
}

static enum status refuse_read(struct call *call)
{
    resp_write_error(call->reply, "ERR this node does not run scripts");
    return STATUS_OK;
}

enum status cmd_eval_plan(const struct machine_plan_input *input, struct plan *plan)
{
    (void)input;
    return refuse_plan(plan);
}

enum status cmd_evalsha_plan(const struct machine_plan_input *input, struct plan *plan)
{
    (void)input;
    return refuse_plan(plan);
}

/* The log holds effects, never these. */
enum status cmd_eval_apply(struct call *call)
{
    (void)call;
    return STATUS_CORRUPT;
}

enum status cmd_evalsha_apply(struct call *call)
{
    (void)call;
    return STATUS_CORRUPT;
}

enum status cmd_eval_ro_read(struct call *call)
{
    return refuse_read(call);
}

enum status cmd_evalsha_ro_read(struct call *call)
{
    return refuse_read(call);
}

enum status cmd_script_load_plan(const struct machine_plan_input *input, struct plan *plan)
{
    planned_begin(plan, CMD_script_load, input->db, 0, 1);
    planned_bytes(plan, input->args.argv[1]);
    return STATUS_OK;
}

enum status cmd_script_load_apply(struct call *call)
{
    if (call->args.argc != 1) {
        return STATUS_CORRUPT;
    }
    struct slice source = call->args.argv[0];
    uint8_t sum[SHA1_SIZE];
    char hex[SHA1_HEX_SIZE + 1];
    sha1_bytes(source, sum);
    sha1_hex(source, hex);
    struct buf *key = txn_scratch(call->txn, SCRATCH_INDEX);
    keyspace_local_key(call->scope.shard, LOCAL_SCRIPT, key);
    buf_append(key, sum, sizeof(sum));
    txn_put(call->txn, STORE_LOCAL, buf_slice(key), source);
    resp_write_text(call->reply, hex);
    return STATUS_OK;
}

enum status cmd_script_flush_plan(const struct machine_plan_input *input, struct plan *plan)
{
    planned_begin(plan, CMD_script_flush, input->db, 0, 0);
    return STATUS_OK;
}

enum status cmd_script_flush_apply(struct call *call)
{
    struct buf *from = txn_scratch(call->txn, SCRATCH_FROM);
    struct buf *to = txn_scratch(call->txn, SCRATCH_TO);
    keyspace_local_key(call->scope.shard, LOCAL_SCRIPT, from);
    keyspace_local_key(call->scope.shard, (enum keyspace_local)(LOCAL_SCRIPT + 1), to);
    txn_delete_range(call->txn, STORE_LOCAL, buf_slice(from), buf_slice(to));
    resp_write_ok(call->reply);
    return STATUS_OK;
}

enum status cmd_script_exists_read(struct call *call)
{
    struct buf *source = txn_scratch(call->txn, SCRATCH_WORK);
    resp_write_array(call->reply, call->args.argc - 1);
    for (size_t i = 1; i < call->args.argc; i++) {
        uint8_t sum[SHA1_SIZE];
        enum status status = STATUS_NOT_FOUND;
        if (sha1_parse(call->args.argv[i], sum)) {
            buf_clear(source);
            status = machine_script(call->txn, call->scope, sum, source);
        }
        if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
            return status;
        }
        resp_write_int(call->reply, status == STATUS_OK);
    }
    return STATUS_OK;
}

enum status cmd_script_find_read(struct call *call)
{
    return refuse_read(call);
}

/* Where one runs, the shard answers itself. */
enum status cmd_script_kill_read(struct call *call)
{
    resp_write_error(call->reply, "NOTBUSY No scripts in execution right now.");
    return STATUS_OK;
}

/* args: channel, enum topic_kind, message. */
enum status cmd_script_publish_plan(const struct machine_plan_input *input, struct plan *plan)
{
    const struct slice *argv = input->args.argv;
    planned_begin(plan, CMD_script_publish, input->db, 0, 3);
    for (size_t i = 1; i <= 3; i++) {
        planned_bytes(plan, argv[i]);
    }
    return STATUS_OK;
}

enum status cmd_script_publish_apply(struct call *call)
{
    if (call->args.argc != 3 || call->args.argv[1].len != 1) {
        return STATUS_CORRUPT;
    }
    bool shard = call->args.argv[1].data[0] == TOPIC_SHARD;
    event_note_message(call, shard ? EVENT_SHARD_MESSAGE : EVENT_MESSAGE, call->args.argv[0],
                       call->args.argv[2]);
    resp_write_int(call->reply, 0);
    return STATUS_OK;
}
