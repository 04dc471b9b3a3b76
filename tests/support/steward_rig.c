#include "tests/support/steward_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/reader.h"
#include "common/proto/resp.h"
#include "server/control/group_ask.h"
#include "server/control/meta_machine.h"
#include "tests/support/test.h"

static void reload(struct steward_rig *world)
{
    uint8_t mode = 0;
    CHECK(meta_machine_load_all(world->txn, &world->map, &world->jobs, &mode) == STATUS_OK);
    CHECK(shard_map_check(&world->map) == STATUS_OK);
    world->rows_due = true;
}

void steward_rig_run(struct steward_rig *world, struct args args, struct buf *reply)
{
    struct buf planned;
    bool changed = false;
    buf_init(&planned, META_ORDER_SIZE_MAX);
    if (meta_machine_plan(args, world->now_ms, &planned, reply) == STATUS_OK) {
        CHECK(meta_machine_apply(world->txn, buf_slice(&planned), reply, &changed) == STATUS_OK);
        CHECK(txn_commit(world->txn) == STATUS_OK);
        reload(world);
    }
    buf_deinit(&planned);
}

static bool leader(void *ctx, uint64_t shard, struct leader_hint *hint)
{
    struct steward_rig *world = ctx;
    for (size_t i = 0; i < world->group_count; i++) {
        if (world->groups[i].desc.id == shard) {
            *hint = (struct leader_hint){.shard = shard, .node = world->groups[i].leader};
            return hint->node != 0;
        }
    }
    return false;
}

static bool is_up(void *ctx, uint64_t node)
{
    const struct steward_rig *world = ctx;
    return node <= NODES_MAX && world->up[node];
}

static void ask(void *ctx, const struct errand_order *order)
{
    struct steward_rig *world = ctx;
    struct asked *asked = calloc(1, sizeof(*asked));
    CHECK(asked != NULL && world->ask_count < ASKS_MAX);
    asked->order = *order;
    buf_init(&asked->bytes, ERRAND_SIZE_MAX);
    for (size_t i = 0; i < order->args.argc; i++) {
        buf_append_slice(&asked->bytes, order->args.argv[i]);
    }
    size_t at = 0;
    for (size_t i = 0; i < order->args.argc; i++) {
        asked->argv[i] = slice_of(asked->bytes.data + at, order->args.argv[i].len);
        at += order->args.argv[i].len;
    }
    asked->order.args.argv = asked->argv;
    world->asks[world->ask_count++] = asked;
}

void steward_rig_new_steward(struct steward_rig *world)
{
    struct steward_env env = {.ctx = world, .leader = leader, .is_up = is_up, .ask = ask};
    world->steward = steward_new(&env);
    world->term++;
    steward_set_rebuild(world->steward, 30000);
    world->rows_due = true;
}

static void join(struct steward_rig *world, unsigned n, const char *zone)
{
    char text[3][32];
    static const char nothing[16];
    struct buf reply;
    buf_init(&reply, 1 << 20);
    snprintf(text[0], sizeof(text[0]), "h:%u", n);
    snprintf(text[1], sizeof(text[1]), "%u", 1000 + n);
    snprintf(text[2], sizeof(text[2]), "%u", 500 + n);
    struct slice first[] = {slice_str("META.INIT"), slice_str("0123456789abcdef"),
                            slice_str("3"),         slice_str("4"),
                            slice_str("1"),         slice_str(text[0]),
                            slice_str(zone),        slice_str(text[1]),
                            slice_str(text[2])};
    struct slice other[] = {slice_str("META.JOIN"), slice_str("0"),  slice_of(nothing, 16),
                            slice_str(text[0]),     slice_str(zone), slice_str(text[1]),
                            slice_str(text[2])};
    steward_rig_run(
        world,
        n == 1 ? (struct args){.argv = first, .argc = 9} : (struct args){.argv = other, .argc = 7},
        &reply);
    CHECK(reply.data[0] == '*');
    buf_deinit(&reply);
    world->up[n] = true;
}

static void add_group(struct steward_rig *world, const struct shard_desc *desc)
{
    CHECK(world->group_count < GROUPS_MAX);
    struct group_played *group = &world->groups[world->group_count++];
    *group = (struct group_played){.desc = *desc, .leader = desc->replicas[0].node};
    for (unsigned i = 0; i < desc->replica_count; i++) {
        group->members[i].replica = desc->replicas[i].id;
        group->members[i].node = desc->replicas[i].node;
        group->members[i].votes = true;
    }
    group->count = desc->replica_count;
}

void steward_rig_init(struct steward_rig *world, const char *zones, uint64_t seed)
{
    *world = (struct steward_rig){.now_ms = 1000000};
    folder_make(world->folder, "steward");
    struct store_options options = {.cache_size = 1 << 20, .memtable_size = 1 << 20, .threads = 1};
    CHECK(store_open(world->folder, &options, &world->store) == STATUS_OK);
    world->txn = txn_new(world->store);
    rand_init(&world->rand, seed);
    shard_map_init(&world->map);
    for (unsigned i = 0; zones[i] != '\0'; i++) {
        char zone[2] = {zones[i], '\0'};
        join(world, i + 1, zone);
    }
    add_group(world, &world->map.meta);
    for (size_t i = 0; i < world->map.shard_count; i++) {
        add_group(world, &world->map.shards[i]);
    }
    steward_rig_new_steward(world);
}

void steward_rig_drop_asks(struct steward_rig *world)
{
    for (size_t i = 0; i < world->ask_count; i++) {
        buf_deinit(&world->asks[i]->bytes);
        free(world->asks[i]);
    }
    world->ask_count = 0;
}

void steward_rig_deinit(struct steward_rig *world)
{
    steward_rig_drop_asks(world);
    steward_free(world->steward);
    txn_free(world->txn);
    store_close(world->store);
    shard_map_deinit(&world->map);
    job_list_deinit(&world->jobs);
    folder_remove(world->folder);
}

/* ---- groups ---- */

struct group_played *steward_rig_group(struct steward_rig *world, uint64_t shard)
{
    for (size_t i = 0; i < world->group_count; i++) {
        if (world->groups[i].desc.id == shard) {
            return &world->groups[i];
        }
    }
    return NULL;
}

static unsigned member_of(const struct group_played *group, uint64_t replica)
{
    unsigned i = 0;
    while (i < group->count && group->members[i].replica != replica) {
        i++;
    }
    return i;
}

static bool wants(const struct shard_desc *desc, uint64_t replica)
{
    bool wanted = false;
    for (unsigned i = 0; i < desc->replica_count; i++) {
        wanted = wanted || desc->replicas[i].id == replica;
    }
    return wanted;
}

/* One step towards what the map wants, if most of the members are up. */
static void follow(struct steward_rig *world, struct group_played *group)
{
    const struct shard_desc *desc = shard_map_shard(&world->map, group->desc.id);
    unsigned alive = 0;
    bool complete = desc != NULL;
    for (unsigned i = 0; i < group->count; i++) {
        alive += world->up[group->members[i].node];
    }
    if (desc == NULL || 2 * alive <= group->count || rand_below(&world->rand, 3) != 0) {
        return;
    }
    for (unsigned i = 0; i < desc->replica_count; i++) {
        unsigned at = member_of(group, desc->replicas[i].id);
        if (at == group->count) {
            CHECK(group->count < GROUP_MEMBERS_MAX);
            group->members[group->count].replica = desc->replicas[i].id;
            group->members[group->count].node = desc->replicas[i].node;
            group->members[group->count++].votes = false;
            return;
        }
        group->members[at].votes = group->members[at].votes || world->up[group->members[at].node];
        complete = complete && group->members[at].votes;
    }
    for (unsigned i = 0; i < group->count && complete; i++) {
        if (!wants(desc, group->members[i].replica)) {
            group->members[i] = group->members[--group->count];
            break;
        }
    }
    bool led = false;
    for (unsigned i = 0; i < group->count; i++) {
        led = led || (group->members[i].node == group->leader && world->up[group->leader]);
    }
    for (unsigned i = 0; i < group->count && !led; i++) {
        if (group->members[i].votes && world->up[group->members[i].node]) {
            group->leader = group->members[i].node;
        }
    }
}

static void tell_report(const struct steward_rig *world,
                        const struct group_played *group,
                        struct buf *reply)
{
    struct group_report report = {.commit_index = 100, .size = 20, .count = group->count};
    for (unsigned i = 0; i < group->count; i++) {
        report.members[i].replica = group->members[i].replica;
        report.members[i].node = group->members[i].node;
        report.members[i].role = group->members[i].votes ? MEMBER_VOTER : MEMBER_SPARE;
        report.members[i].match = group->members[i].votes ? 100 : 0;
        report.members[i].connected = world->up[group->members[i].node];
        report.members[i].sent = 10;
        report.members[i].size = 20;
    }
    group_ask_write_report(&report, reply);
}

static uint64_t number_at(const struct asked *asked, size_t at)
{
    char text[32];
    CHECK(asked->argv[at].len < sizeof(text));
    memcpy(text, asked->argv[at].data, asked->argv[at].len);
    text[asked->argv[at].len] = '\0';
    return strtoull(text, NULL, 10);
}

static void report_ranges(struct steward_rig *world, const struct shard_desc *descs, size_t count)
{
    struct slice argv[3] = {slice_str("META.REPORT")};
    struct buf bytes[2];
    struct buf reply;
    buf_init(&reply, 1 << 20);
    for (size_t i = 0; i < count; i++) {
        buf_init(&bytes[i], 4096);
        shard_desc_encode(&descs[i], &bytes[i]);
        argv[i + 1] = buf_slice(&bytes[i]);
    }
    steward_rig_run(world, (struct args){.argv = argv, .argc = count + 1}, &reply);
    CHECK(reply.data[0] == ':');
    for (size_t i = 0; i < count; i++) {
        buf_deinit(&bytes[i]);
    }
    buf_deinit(&reply);
}

static void split(struct steward_rig *world, struct group_played *group, const struct asked *asked)
{
    struct shard_desc halves[2] = {group->desc, group->desc};
    halves[0].ver++;
    halves[0].last = number_at(asked, 2) - 1;
    halves[1].id = number_at(asked, 3);
    halves[1].parent = group->desc.id;
    halves[1].start = number_at(asked, 2);
    halves[1].ver = halves[0].ver;
    halves[1].conf_ver = 1;
    halves[1].replica_count = (unsigned)(asked->order.args.argc - 5) / 2;
    for (unsigned i = 0; i < halves[1].replica_count; i++) {
        halves[1].replicas[i].node = number_at(asked, 5 + 2 * i);
        halves[1].replicas[i].id = number_at(asked, 6 + 2 * i);
        halves[1].birth_max = halves[1].replicas[i].id;
    }
    group->desc = halves[0];
    add_group(world, &halves[1]);
    report_ranges(world, halves, 2);
}

static void merge(struct steward_rig *world, struct group_played *source, const struct asked *asked)
{
    struct group_played *target = steward_rig_group(world, number_at(asked, 3));
    CHECK(target != NULL);
    struct shard_desc *to = &target->desc;
    to->start = source->desc.start < to->start ? source->desc.start : to->start;
    to->last = source->desc.last > to->last ? source->desc.last : to->last;
    to->ver = 1 + (source->desc.ver > to->ver ? source->desc.ver : to->ver);
    struct shard_desc whole = *to;
    *source = world->groups[--world->group_count];
    report_ranges(world, &whole, 1);
}

static void answer_group(struct steward_rig *world,
                         struct group_played *group,
                         const struct asked *asked,
                         struct buf *reply)
{
    uint64_t numbers[2];
    enum group_ask kind = group_ask_of(asked->order.args, numbers);
    CHECK(asked->order.shard == SHARD_META || asked->order.term >= world->oldest_term);
    world->oldest_term =
        asked->order.term > world->oldest_term ? asked->order.term : world->oldest_term;
    if (kind == GROUP_ASK_INFO) {
        tell_report(world, group, reply);
        return;
    }
    if (kind == GROUP_ASK_LEAD) {
        unsigned at = member_of(group, numbers[0]);
        if (at < group->count && group->members[at].votes && world->up[group->members[at].node]) {
            group->leader = group->members[at].node;
        }
    } else if (kind == GROUP_ASK_NONE && world->refuses_splits) {
        resp_write_error(reply, "REFUSED it cannot be");
        return;
    } else if (kind == GROUP_ASK_NONE && rand_below(&world->rand, 3) == 0) {
        resp_write_error(reply, "RETRY not now");
        return;
    } else if (slice_equal(asked->argv[0], slice_str("shard_split"))) {
        bool now = number_at(asked, 1) == group->desc.ver;
        if (now) {
            split(world, group, asked);
        } else {
            resp_write_error(reply, "STALE");
            return;
        }
    } else if (slice_equal(asked->argv[0], slice_str("shard_merge"))) {
        merge(world, group, asked);
    }
    resp_write_ok(reply);
}

/* Some of the questions are answered, some are lost before or behind their effect. */
static void answer_all(struct steward_rig *world)
{
    size_t count = world->ask_count;
    struct asked *asks[ASKS_MAX];
    memcpy(asks, world->asks, count * sizeof(asks[0]));
    world->ask_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct asked *asked = asks[i];
        struct group_played *group = steward_rig_group(world, asked->order.shard);
        struct buf reply;
        bool meta = asked->order.shard == SHARD_META &&
                    slice_equal(asked->argv[0], slice_str("META.ORDER"));
        buf_init(&reply, 1 << 20);
        bool lost = rand_below(&world->rand, 1000) < world->lost_permille;
        bool silent = rand_below(&world->rand, 1000) < world->lost_permille;
        if (!lost && meta) {
            steward_rig_run(world, asked->order.args, &reply);
        } else if (!lost && group != NULL && world->up[group->leader]) {
            answer_group(world, group, asked, &reply);
        }
        bool told = reply.len > 0 && !silent;
        asked->order.done(&asked->order, told ? STATUS_OK : STATUS_TIMEOUT,
                          told ? buf_slice(&reply) : slice_of(NULL, 0));
        buf_deinit(&reply);
        buf_deinit(&asked->bytes);
        free(asked);
    }
}

void steward_rig_tick(struct steward_rig *world)
{
    world->now_ms += TICK_MS;
    for (size_t i = 0; i < world->group_count; i++) {
        follow(world, &world->groups[i]);
    }
    if (world->rows_due && rand_below(&world->rand, 2) == 0) {
        struct shard_map map;
        struct job_list jobs = {0};
        uint8_t mode = 0;
        shard_map_init(&map);
        CHECK(meta_machine_load_all(world->txn, &map, &jobs, &mode) == STATUS_OK);
        steward_take(world->steward, &map, &jobs);
        world->rows_due = false;
    }
    steward_tick(world->steward, world->now_ms, world->term);
    answer_all(world);
}

void steward_rig_ticks(struct steward_rig *world, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        steward_rig_tick(world);
    }
}

uint64_t steward_rig_add(struct steward_rig *world, struct job_spec spec)
{
    struct buf items;
    struct buf bytes;
    struct buf reply;
    buf_init(&items, 4096);
    buf_init(&bytes, META_ORDER_SIZE_MAX);
    buf_init(&reply, 1 << 20);
    job_spec_encode(&spec, &items);
    struct meta_order order = {
        .op = META_JOB_ADD, .who = "test", .count = 1, .items = buf_slice(&items)};
    meta_order_encode(&order, &bytes);
    struct slice argv[] = {slice_str("META.ORDER"), buf_slice(&bytes)};
    steward_rig_run(world, (struct args){.argv = argv, .argc = 2}, &reply);
    uint64_t id = reply.data[0] == '*' ? world->jobs.jobs[world->jobs.count - 1].id : 0;
    buf_deinit(&items);
    buf_deinit(&bytes);
    buf_deinit(&reply);
    return id;
}

const struct cluster_job *steward_rig_job(const struct steward_rig *world, uint64_t id)
{
    const struct cluster_job *found = job_list_get(&world->jobs, id);
    CHECK(found != NULL);
    return found;
}

size_t steward_rig_active(const struct steward_rig *world)
{
    size_t count = 0;
    for (size_t i = 0; i < world->jobs.count; i++) {
        count += cluster_job_active(&world->jobs.jobs[i]);
    }
    return count;
}

size_t steward_rig_replicas_on(const struct steward_rig *world, uint64_t node)
{
    size_t count = shard_map_replica_on(&world->map.meta, node) != NULL;
    for (size_t i = 0; i < world->map.shard_count; i++) {
        count += shard_map_replica_on(&world->map.shards[i], node) != NULL;
    }
    return count;
}

/* Groups and map say the same, and nothing is left over. */
void steward_rig_check_settled(struct steward_rig *world)
{
    for (size_t i = 0; i <= world->map.shard_count; i++) {
        const struct shard_desc *desc =
            i < world->map.shard_count ? &world->map.shards[i] : &world->map.meta;
        const struct group_played *group = steward_rig_group(world, desc->id);
        CHECK(group != NULL && desc->replica_count == 3 && group->count == 3);
        for (unsigned j = 0; j < group->count; j++) {
            CHECK(wants(desc, group->members[j].replica) && group->members[j].votes);
        }
    }
}
