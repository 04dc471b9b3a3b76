/* Places around another: GEOSEARCH, GEOSEARCHSTORE, GEORADIUS, GEORADIUSBYMEMBER and those of them
 * that only read. Semantics: Redis 7.0 geo.c. */

#include "server/machine/geo_search.h"
#include "server/machine/planned.h"

enum status cmd_geosearch_read(struct call *call)
{
    return geo_search_run(call, call->args, GEO_SEARCH);
}

enum status cmd_georadius_ro_read(struct call *call)
{
    return geo_search_run(call, call->args, GEO_AROUND_PLACE | GEO_READ_ONLY);
}

enum status cmd_georadiusbymember_ro_read(struct call *call)
{
    return geo_search_run(call, call->args, GEO_AROUND_MEMBER | GEO_READ_ONLY);
}

/* Planned: the keys, then the command as it was given, its name too. */
static enum status plan_search(const struct machine_plan_input *input,
                               struct plan *plan,
                               size_t first,
                               size_t second)
{
    struct args args = input->args;
    size_t keys = second == 0 ? 1 : 2;
    planned_begin(plan, input->command->id, input->db, keys, keys + args.argc);
    planned_bytes(plan, args.argv[first]);
    if (second != 0) {
        planned_bytes(plan, args.argv[second]);
    }
    for (size_t i = 0; i < args.argc; i++) {
        planned_bytes(plan, args.argv[i]);
    }
    return STATUS_OK;
}

static enum status apply_search(struct call *call, unsigned form)
{
    struct args args = {.argv = call->args.argv + call->key_count,
                        .argc = call->args.argc - call->key_count};
    if (call->key_count < 1 || command_check(call->command, args.argc) != STATUS_OK) {
        return STATUS_CORRUPT;
    }
    return geo_search_run(call, args, form);
}

enum status cmd_geosearchstore_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_search(input, plan, 1, 2);
}

enum status cmd_geosearchstore_apply(struct call *call)
{
    return apply_search(call, GEO_SEARCH | GEO_STORE);
}

enum status cmd_georadius_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_search(input, plan, 1, geo_search_store_at(input->args));
}

enum status cmd_georadius_apply(struct call *call)
{
    return apply_search(call, GEO_AROUND_PLACE);
}

enum status cmd_georadiusbymember_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_search(input, plan, 1, geo_search_store_at(input->args));
}

enum status cmd_georadiusbymember_apply(struct call *call)
{
    return apply_search(call, GEO_AROUND_MEMBER);
}
