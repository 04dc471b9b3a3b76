/* NOTIFY, between router and shards: which keyspace events are published. */

#include "common/proto/notify.h"
#include "server/machine/planned.h"

enum status cmd_notify_plan(const struct machine_plan_input *input, struct plan *plan)
{
    uint32_t flags = 0;
    if (!notify_parse(input->args.argv[1], &flags)) {
        return planned_refuse(plan, ERR_SYNTAX);
    }
    planned_begin(plan, CMD_notify, input->db, 0, 1);
    planned_u64(plan, flags);
    return STATUS_OK;
}

enum status cmd_notify_apply(struct call *call)
{
    if (call->args.argc != 1) {
        return STATUS_CORRUPT;
    }
    call->state->notify = (uint32_t)planned_number(call->args.argv[0]);
    resp_write_ok(call->reply);
    return STATUS_OK;
}
