#include "server/control/meta_jobs.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/rand.h"
#include "common/base/reader.h"
#include "common/proto/resp.h"
#include "server/control/job_check.h"
#include "server/control/meta_machine.h"
#include "tests/support/folder.h"
#include "tests/support/test.h"

/* Orders about jobs, nodes and ranges against the rows of a real store. */

struct scene {
    char folder[FOLDER_SIZE];
    struct store *store;
    struct txn *txn;
    struct buf planned;
    struct buf reply;
    struct buf order;
    struct shard_map map;
    struct job_list jobs;
    uint8_t mode;
    bool changed;
    uint64_t now_ms;
};

static void reload(struct scene *scene)
{
    CHECK(meta_machine_load_all(scene->txn, &scene->map, &scene->jobs, &scene->mode) == STATUS_OK);
    CHECK(shard_map_check(&scene->map) == STATUS_OK);
}

static void run(struct scene *scene, struct args args)
{
    uint64_t version = scene->map.version;
    buf_clear(&scene->planned);
    buf_clear(&scene->reply);
    scene->now_ms++;
    if (meta_machine_plan(args, scene->now_ms, &scene->planned, &scene->reply) == STATUS_OK) {
        CHECK(meta_machine_apply(scene->txn, buf_slice(&scene->planned), &scene->reply,
                                 &scene->changed) == STATUS_OK);
        CHECK(txn_commit(scene->txn) == STATUS_OK);
        reload(scene);
        CHECK_EQ((uint32_t)scene->map.version, (uint32_t)version + scene->changed);
    }
}

static void join(struct scene *scene, unsigned n, const char *zone)
{
    char text[3][32];
    static const char nothing[16];
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
    run(scene,
        n == 1 ? (struct args){.argv = first, .argc = 9} : (struct args){.argv = other, .argc = 7});
    CHECK(scene->changed);
}

/* One node per letter, in the zone of that name. */
static void scene_init(struct scene *scene, const char *zones)
{
    *scene = (struct scene){.now_ms = 1700000000000};
    folder_make(scene->folder, "meta_jobs");
    struct store_options options = {.cache_size = 1 << 20, .memtable_size = 1 << 20, .threads = 1};
    CHECK(store_open(scene->folder, &options, &scene->store) == STATUS_OK);
    scene->txn = txn_new(scene->store);
    buf_init(&scene->planned, META_ORDER_SIZE_MAX);
    buf_init(&scene->reply, 64 << 20);
    buf_init(&scene->order, META_ORDER_SIZE_MAX);
    shard_map_init(&scene->map);
    for (unsigned i = 0; zones[i] != '\0'; i++) {
        char zone[2] = {zones[i], '\0'};
        join(scene, i + 1, zone);
    }
    CHECK_EQ(scene->map.shard_count, 4);
}

static void scene_deinit(struct scene *scene)
{
    txn_free(scene->txn);
    store_close(scene->store);
    buf_deinit(&scene->planned);
    buf_deinit(&scene->reply);
    buf_deinit(&scene->order);
    shard_map_deinit(&scene->map);
    job_list_deinit(&scene->jobs);
    folder_remove(scene->folder);
}

static bool give(struct scene *scene, const struct meta_order *order)
{
    buf_clear(&scene->order);
    meta_order_encode(order, &scene->order);
    struct slice argv[] = {slice_str("META.ORDER"), buf_slice(&scene->order)};
    run(scene, (struct args){.argv = argv, .argc = 2});
    return scene->reply.data[0] != '-';
}

static bool says(const struct scene *scene, const char *code)
{
    size_t len = strlen(code);
    return scene->reply.len > len + 1 && scene->reply.data[0] == '-' &&
           memcmp(scene->reply.data + 1, code, len) == 0;
}

static bool add_specs(struct scene *scene,
                      const struct job_spec *specs,
                      uint32_t count,
                      uint64_t parent)
{
    struct buf items;
    buf_init(&items, META_ORDER_SIZE_MAX);
    for (uint32_t i = 0; i < count; i++) {
        job_spec_encode(&specs[i], &items);
    }
    struct meta_order order = {.op = META_JOB_ADD, .parent = parent, .who = "test"};
    order.count = count;
    order.items = buf_slice(&items);
    bool good = give(scene, &order);
    buf_deinit(&items);
    return good;
}

/* The id of the new job, 0 if it was refused. */
static uint64_t add(struct scene *scene, struct job_spec spec)
{
    return add_specs(scene, &spec, 1, 0) ? scene->jobs.jobs[scene->jobs.count - 1].id : 0;
}

static bool step(struct scene *scene, uint64_t id, uint8_t at)
{
    struct meta_order order = {.op = META_JOB_STEP, .id = id, .what = at};
    return give(scene, &order);
}

static bool end(struct scene *scene, uint64_t id, enum job_state state)
{
    struct meta_order order = {.op = META_JOB_END, .id = id, .what = (uint8_t)state, .value = 77};
    snprintf(order.text, sizeof(order.text), "because");
    return give(scene, &order);
}

static bool set(struct scene *scene, uint64_t id, enum meta_set what, uint64_t value)
{
    struct meta_order order = {.op = META_JOB_SET, .id = id, .what = (uint8_t)what};
    order.value = value;
    return give(scene, &order);
}

static bool node(struct scene *scene, uint64_t id, enum meta_node_verb what)
{
    struct meta_order order = {.op = META_NODE, .id = id, .what = (uint8_t)what};
    return give(scene, &order);
}

static bool report(struct scene *scene, const struct shard_desc *descs, size_t count)
{
    struct buf bytes[4];
    struct slice argv[5] = {slice_str("META.REPORT")};
    CHECK(count <= 4);
    for (size_t i = 0; i < count; i++) {
        buf_init(&bytes[i], 4096);
        shard_desc_encode(&descs[i], &bytes[i]);
        argv[i + 1] = buf_slice(&bytes[i]);
    }
    run(scene, (struct args){.argv = argv, .argc = count + 1});
    for (size_t i = 0; i < count; i++) {
        buf_deinit(&bytes[i]);
    }
    return scene->reply.data[0] != '-';
}

static struct cluster_job *job(struct scene *scene, uint64_t id)
{
    struct cluster_job *found = job_list_get(&scene->jobs, id);
    CHECK(found != NULL);
    return found;
}

/* A node that has no replica of the shard; 0: none. */
static uint64_t stranger(const struct shard_map *map, const struct shard_desc *shard)
{
    for (size_t i = 0; i < map->node_count; i++) {
        if (shard_map_replica_on(shard, map->nodes[i].id) == NULL) {
            return map->nodes[i].id;
        }
    }
    return 0;
}

static struct job_spec move_of(const struct scene *scene, size_t shard)
{
    const struct shard_desc *desc = &scene->map.shards[shard];
    return (struct job_spec){.kind = JOB_MOVE,
                             .shard = desc->id,
                             .from = desc->replicas[0].node,
                             .to = stranger(&scene->map, desc)};
}

TEST(meta_jobs_step, moves_by_adding_the_new_before_the_old_goes)
{
    struct scene scene;
    scene_init(&scene, "aaaa");
    struct shard_desc old = scene.map.shards[0];
    struct job_spec spec = move_of(&scene, 0);
    uint64_t id = add(&scene, spec);
    CHECK(id == 1 && job(&scene, id)->state == JOB_QUEUED && !scene.changed);
    CHECK(step(&scene, id, 0) && scene.changed);
    struct shard_desc both = scene.map.shards[0];
    CHECK_EQ(both.replica_count, 4);
    CHECK(memcmp(both.replicas, old.replicas, 3 * sizeof(old.replicas[0])) == 0);
    CHECK(both.replicas[3].node == spec.to && both.replicas[3].id > old.replicas[2].id);
    CHECK(both.conf_ver == old.conf_ver + 1 && both.ver == old.ver);
    CHECK(step(&scene, id, 1) && scene.changed);
    struct shard_desc new = scene.map.shards[0];
    CHECK_EQ(new.replica_count, 3);
    CHECK(new.replicas[0].id == both.replicas[3].id); /* The preferred leader's place. */
    CHECK(new.replicas[1].id == old.replicas[1].id &&new.replicas[2].id == old.replicas[2].id);
    CHECK(new.conf_ver == old.conf_ver + 2);
    CHECK(end(&scene, id, JOB_DONE) && !scene.changed);
    CHECK(job(&scene, id)->state == JOB_DONE && job(&scene, id)->bytes == 77);
    /* All of them again: nothing happens. */
    CHECK(step(&scene, id, 0) && step(&scene, id, 1) && end(&scene, id, JOB_FAILED));
    CHECK(job(&scene, id)->state == JOB_DONE && scene.map.shards[0].conf_ver == new.conf_ver);
    scene_deinit(&scene);
}

TEST(meta_jobs_set, cancels_a_move_until_the_old_replica_is_let_go)
{
    struct scene scene;
    scene_init(&scene, "aaaa");
    struct shard_desc old = scene.map.shards[1];
    uint64_t id = add(&scene, move_of(&scene, 1));
    CHECK(step(&scene, id, 0) && set(&scene, id, META_CANCEL, 0));
    CHECK(job(&scene, id)->state == JOB_CANCELLED);
    CHECK_EQ(scene.map.shards[1].replica_count, 3);
    CHECK(memcmp(scene.map.shards[1].replicas, old.replicas, sizeof(old.replicas)) == 0);
    CHECK_EQ(scene.map.shards[1].conf_ver, old.conf_ver + 2);
    id = add(&scene, move_of(&scene, 1));
    CHECK(step(&scene, id, 0) && step(&scene, id, 1));
    CHECK(!set(&scene, id, META_CANCEL, 0) && says(&scene, "CONFLICT"));
    CHECK(!end(&scene, id, JOB_FAILED) && says(&scene, "CONFLICT"));
    CHECK(!set(&scene, 99, META_CANCEL, 0) && says(&scene, "GONE"));
    scene_deinit(&scene);
}

TEST(meta_jobs_set, pauses_resumes_and_throttles)
{
    struct scene scene;
    scene_init(&scene, "aaaa");
    uint64_t id = add(&scene, move_of(&scene, 1));
    CHECK(set(&scene, id, META_PAUSE, 0) && job(&scene, id)->state == JOB_PAUSED);
    CHECK(!step(&scene, id, 0) && says(&scene, "CONFLICT"));
    CHECK(set(&scene, id, META_RESUME, 0) && job(&scene, id)->state == JOB_QUEUED);
    CHECK(step(&scene, id, 0) && set(&scene, id, META_PAUSE, 0));
    CHECK(!step(&scene, id, 1) && says(&scene, "CONFLICT"));
    CHECK(set(&scene, id, META_RESUME, 0) && job(&scene, id)->state == JOB_RUNNING);
    CHECK(set(&scene, id, META_THROTTLE, 5000) && job(&scene, id)->throttle == 5000);
    CHECK(end(&scene, id, JOB_FAILED) && !set(&scene, id, META_PAUSE, 0));
    scene_deinit(&scene);
}

TEST(meta_jobs_step, lets_one_job_have_a_shard_at_a_time)
{
    struct scene scene;
    scene_init(&scene, "aaaaa");
    struct shard_desc desc = scene.map.shards[0];
    uint64_t first = add(&scene, move_of(&scene, 0));
    uint64_t second =
        add(&scene,
            (struct job_spec){.kind = JOB_TRANSFER, .shard = desc.id, .to = desc.replicas[1].node});
    uint64_t elsewhere = add(&scene, move_of(&scene, 2));
    CHECK(step(&scene, first, 0));
    CHECK(!step(&scene, second, 0) && says(&scene, "CONFLICT"));
    CHECK(step(&scene, elsewhere, 0));
    CHECK(set(&scene, first, META_CANCEL, 0));
    CHECK(step(&scene, second, 0));
    scene_deinit(&scene);
}

TEST(meta_jobs_step, transfers_by_a_new_order_that_makes_no_birth)
{
    struct scene scene;
    scene_init(&scene, "aaa");
    struct shard_desc old = scene.map.shards[3];
    uint64_t id =
        add(&scene,
            (struct job_spec){.kind = JOB_TRANSFER, .shard = old.id, .to = old.replicas[2].node});
    CHECK(step(&scene, id, 0));
    struct shard_desc new = scene.map.shards[3];
    CHECK(new.replicas[0].id == old.replicas[2].id &&new.replicas[1].id ==
          old.replicas[0].id &&new.replicas[2].id == old.replicas[1].id);
    CHECK(new.conf_ver > 1 && new.birth_max == old.birth_max);
    CHECK(set(&scene, id, META_CANCEL, 0));
    CHECK_EQ(scene.map.shards[3].replicas[0].id, old.replicas[0].id);
    scene_deinit(&scene);
}

/* With one replica in each of three zones: only to another node of the same zone. */
static void check_target(const struct shard_map *map, struct job_spec spec)
{
    char text[JOB_FAULT_SIZE];
    const struct shard_desc *shard = shard_map_shard(map, spec.shard);
    const char *fault = job_check(map, &spec, text);
    bool there = shard_map_replica_on(shard, spec.to) != NULL;
    bool same = shard_map_node(map, spec.from)->zone[0] == shard_map_node(map, spec.to)->zone[0];
    CHECK((fault == NULL) == (!there && same));
    CHECK(fault == NULL || there || memcmp(fault, "UNSAFE", 6) == 0);
}

TEST(job_check, keeps_zones_apart_at_every_step)
{
    struct scene scene;
    scene_init(&scene, "abcab");
    for (size_t i = 0; i < 4 * 3 * 5; i++) {
        const struct shard_desc *shard = &scene.map.shards[i / 15];
        check_target(&scene.map, (struct job_spec){.kind = JOB_MOVE,
                                                   .shard = shard->id,
                                                   .from = shard->replicas[i / 5 % 3].node,
                                                   .to = 1 + i % 5});
    }
    scene_deinit(&scene);
}

TEST(job_check, knows_how_many_must_share_a_zone)
{
    struct scene scene;
    scene_init(&scene, "aaab");
    CHECK_EQ(job_check_zone_cap(&scene.map, 1), 1);
    CHECK_EQ(job_check_zone_cap(&scene.map, 2), 1);
    CHECK_EQ(job_check_zone_cap(&scene.map, 3), 2);
    CHECK_EQ(job_check_zone_cap(&scene.map, 4), 3);
    CHECK_EQ(job_check_crowd(&scene.map, (uint64_t[]){1, 2, 4}, 3), 2);
    scene_deinit(&scene);
}

TEST(meta_jobs_add, refuses_what_does_not_fit_and_writes_nothing)
{
    struct scene scene;
    scene_init(&scene, "aaaa");
    struct job_spec good = move_of(&scene, 0);
    struct job_spec bad = good;
    bad.conf_ver = 9;
    CHECK(add(&scene, bad) == 0 && says(&scene, "CONFLICT"));
    bad = good;
    bad.shard = 99;
    CHECK(add(&scene, bad) == 0 && says(&scene, "CONFLICT"));
    bad = good;
    bad.to = good.from;
    CHECK(add(&scene, bad) == 0 && says(&scene, "CONFLICT"));
    struct job_spec list[] = {{.kind = JOB_REBALANCE}, good, bad};
    CHECK(!add_specs(&scene, list, 3, 0) && scene.jobs.count == 0);
    CHECK(!add_specs(&scene, &good, 1, 7) && says(&scene, "CONFLICT")); /* No such parent. */
    bad = (struct job_spec){.kind = JOB_SPLIT, .shard = SHARD_META};
    CHECK(add(&scene, bad) == 0);
    bad = (struct job_spec){
        .kind = JOB_MERGE, .shard = scene.map.shards[0].id, .other = scene.map.shards[2].id};
    CHECK(add(&scene, bad) == 0 && says(&scene, "CONFLICT"));
    scene_deinit(&scene);
}

TEST(meta_jobs_add, a_list_is_held_together_by_its_first)
{
    struct scene scene;
    scene_init(&scene, "aaaa");
    struct job_spec list[] = {{.kind = JOB_REBALANCE}, move_of(&scene, 0), move_of(&scene, 1)};
    CHECK(add_specs(&scene, list, 3, 0));
    CHECK(job(&scene, 1)->parent == 0 && job(&scene, 2)->parent == 1 &&
          job(&scene, 3)->parent == 1);
    CHECK(step(&scene, 1, 0) && step(&scene, 2, 0) && step(&scene, 2, 1));
    CHECK(set(&scene, 1, META_CANCEL, 0));
    CHECK(job(&scene, 2)->state == JOB_RUNNING); /* Too late: it can only be finished. */
    CHECK(job(&scene, 3)->state == JOB_CANCELLED);
    scene_deinit(&scene);
}

static void empty_node(struct scene *scene, uint64_t drained, uint64_t parent)
{
    for (size_t i = 0; i <= scene->map.shard_count; i++) {
        struct shard_desc shard =
            i < scene->map.shard_count ? scene->map.shards[i] : scene->map.meta;
        if (shard_map_replica_on(&shard, drained) == NULL) {
            continue;
        }
        struct job_spec spec = {.kind = JOB_MOVE, .shard = shard.id, .from = drained};
        spec.to = stranger(&scene->map, &shard);
        CHECK(add_specs(scene, &spec, 1, parent));
        uint64_t id = scene->jobs.jobs[scene->jobs.count - 1].id;
        CHECK(step(scene, id, 0) && step(scene, id, 1) && end(scene, id, JOB_DONE));
    }
}

TEST(meta_jobs_node, is_removed_only_when_it_is_drained_and_empty)
{
    struct scene scene;
    scene_init(&scene, "aaaa");
    CHECK(!node(&scene, 2, META_REMOVE) && says(&scene, "UNSAFE"));
    CHECK(!node(&scene, 2, META_REMOVE_DOWN) && says(&scene, "UNSAFE"));
    uint64_t id = add(&scene, (struct job_spec){.kind = JOB_DRAIN, .from = 2});
    CHECK_EQ(scene.map.nodes[1].state, NODE_DRAINING);
    CHECK(add(&scene, (struct job_spec){.kind = JOB_DRAIN, .from = 2}) == 0);
    CHECK(add(&scene, (struct job_spec){.kind = JOB_DRAIN, .from = 3}) == 0 &&
          says(&scene, "UNSAFE")); /* Two would be left for three replicas. */
    struct job_spec back = {.kind = JOB_MOVE, .shard = scene.map.shards[0].id, .from = 1, .to = 2};
    CHECK(add(&scene, back) == 0);
    CHECK(step(&scene, id, 0));
    empty_node(&scene, 2, id);
    CHECK(end(&scene, id, JOB_DONE));
    CHECK_EQ(scene.map.nodes[1].state, NODE_DRAINING);
    CHECK(node(&scene, 2, META_REMOVE));
    CHECK(scene.map.nodes[1].state == NODE_GONE && scene.map.nodes[1].address[0] == '\0');
    CHECK(node(&scene, 2, META_REMOVE) && !scene.changed);
    CHECK(!node(&scene, 2, META_UNDRAIN) && !node(&scene, 9, META_REMOVE));
    scene_deinit(&scene);
}

TEST(meta_jobs_node, undrained_takes_replicas_again)
{
    struct scene scene;
    scene_init(&scene, "aaaa");
    uint64_t id = add(&scene, (struct job_spec){.kind = JOB_DRAIN, .from = 1});
    CHECK(step(&scene, id, 0));
    struct job_spec spec = {.kind = JOB_MOVE, .from = 1};
    for (size_t i = 0; i < 4; i++) {
        const struct shard_desc *shard = &scene.map.shards[i];
        spec.shard = shard_map_replica_on(shard, 1) != NULL ? shard->id : spec.shard;
    }
    spec.to = stranger(&scene.map, shard_map_shard(&scene.map, spec.shard));
    CHECK(add_specs(&scene, &spec, 1, id) && step(&scene, id + 1, 0));
    CHECK(node(&scene, 1, META_UNDRAIN));
    CHECK(job(&scene, id)->state == JOB_CANCELLED && job(&scene, id + 1)->state == JOB_CANCELLED);
    CHECK_EQ(scene.map.nodes[0].state, NODE_UP);
    CHECK_EQ(shard_map_shard(&scene.map, spec.shard)->replica_count, 3);
    scene_deinit(&scene);
}

TEST(meta_jobs_end, the_node_that_was_replaced_is_gone)
{
    struct scene scene;
    scene_init(&scene, "aaaa");
    uint64_t id = add(&scene, (struct job_spec){.kind = JOB_REPLACE, .from = 3, .to = 4});
    CHECK(step(&scene, id, 0));
    empty_node(&scene, 3, id);
    CHECK(end(&scene, id, JOB_DONE));
    CHECK_EQ(scene.map.nodes[2].state, NODE_GONE);
    scene_deinit(&scene);
}

TEST(meta_jobs_lost, an_empty_disk_ends_the_moves_of_its_node)
{
    struct scene scene;
    scene_init(&scene, "aaaa");
    struct job_spec spec = move_of(&scene, 0);
    uint64_t id = add(&scene, spec);
    CHECK(step(&scene, id, 0));
    /* An empty directory at the address of the node that the replica is to leave. */
    char address[16];
    static const char nothing[16];
    snprintf(address, sizeof(address), "h:%u", (unsigned)spec.from);
    struct slice argv[] = {slice_str("META.JOIN"), slice_str("0"), slice_of(nothing, 16),
                           slice_str(address),     slice_str("a"), slice_str("1"),
                           slice_str("99999")};
    run(&scene, (struct args){.argv = argv, .argc = 7});
    CHECK(scene.changed && job(&scene, id)->state == JOB_FAILED);
    CHECK_EQ(scene.map.shards[0].replica_count, 3);
    CHECK_EQ(scene.map.shards[0].replicas[0].node, 5);
    scene_deinit(&scene);
}

/* Shard i of the map, split in two as its own log would say. */
static void split_in_two(struct scene *scene,
                         uint64_t id,
                         const struct shard_desc *shard,
                         struct shard_desc halves[2])
{
    const struct cluster_job *split = job(scene, id);
    halves[0] = *shard;
    halves[0].last = split->spec.token - 1;
    halves[0].ver++;
    halves[1] = (struct shard_desc){.id = split->child,
                                    .start = split->spec.token,
                                    .last = shard->last,
                                    .ver = shard->ver + 1,
                                    .conf_ver = 1,
                                    .parent = shard->id,
                                    .replica_count = split->birth_count};
    memcpy(halves[1].replicas, split->births, sizeof(split->births));
    halves[1].birth_max = split->births[split->birth_count - 1].id;
}

TEST(meta_report_take, knows_a_split_and_a_merge)
{
    struct scene scene;
    scene_init(&scene, "aaa");
    struct shard_desc old = scene.map.shards[1];
    struct shard_desc halves[2];
    uint64_t id = add(&scene, (struct job_spec){.kind = JOB_SPLIT, .shard = old.id});
    CHECK(step(&scene, id, 0));
    CHECK_EQ(job(&scene, id)->spec.token, old.start + ((old.last - old.start) / 2 + 1));
    CHECK(job(&scene, id)->child > old.id && job(&scene, id)->birth_count == 3);
    split_in_two(&scene, id, &old, halves);
    CHECK(!report(&scene, halves, 1) && says(&scene, "CONFLICT")); /* A hole. */
    CHECK(report(&scene, halves, 2) && scene.changed);
    CHECK_EQ(scene.map.shard_count, 5);
    CHECK(scene.map.shards[2].id == job(&scene, id)->child && scene.map.shards[2].parent == old.id);
    CHECK(report(&scene, halves, 2) && !scene.changed);
    CHECK(!report(&scene, &old, 1) || !scene.changed); /* Older: it says nothing. */
    struct shard_desc merged = halves[0];
    merged.last = old.last;
    merged.ver = halves[0].ver; /* Not newer than what it would cover. */
    merged.id = halves[0].id;
    CHECK(report(&scene, &merged, 1) && !scene.changed);
    merged.ver = halves[0].ver + 1;
    CHECK(report(&scene, &merged, 1) && scene.changed);
    CHECK_EQ(scene.map.shard_count, 4);
    CHECK(shard_map_shard(&scene.map, halves[1].id) == NULL);
    /* The child comes too late. */
    CHECK(!report(&scene, halves, 2) || !scene.changed);
    scene_deinit(&scene);
}

TEST(meta_report_take, does_not_believe_ids_that_nobody_gave_out)
{
    struct scene scene;
    scene_init(&scene, "aaa");
    struct shard_desc old = scene.map.shards[1];
    struct shard_desc halves[2];
    uint64_t id = add(&scene, (struct job_spec){.kind = JOB_SPLIT, .shard = old.id});
    CHECK(step(&scene, id, 0));
    split_in_two(&scene, id, &old, halves);
    struct shard_desc forged[2] = {halves[0], halves[1]};
    forged[1].id += 100;
    CHECK(!report(&scene, forged, 2));
    forged[1] = halves[1];
    forged[1].replicas[1].id += 100;
    CHECK(!report(&scene, forged, 2));
    forged[1] = halves[1];
    forged[1].replicas[1].node = 77;
    CHECK(!report(&scene, forged, 2));
    forged[1] = halves[1];
    forged[1].parent = 0;
    CHECK(!report(&scene, forged, 2));
    CHECK(report(&scene, halves, 2));
    scene_deinit(&scene);
}

TEST(meta_report_take, leaves_the_replicas_to_the_map)
{
    struct scene scene;
    scene_init(&scene, "aaaa");
    struct shard_desc said = scene.map.shards[0];
    uint64_t id = add(&scene, move_of(&scene, 0));
    CHECK(step(&scene, id, 0));
    said.ver++;
    CHECK(report(&scene, &said, 1) && scene.changed);
    CHECK_EQ(scene.map.shards[0].ver, said.ver);
    CHECK_EQ(scene.map.shards[0].replica_count, 4);
    CHECK_EQ(scene.map.shards[0].conf_ver, said.conf_ver + 1);
    scene_deinit(&scene);
}

struct counted {
    uint64_t count, first, last;
};

static void count_event(void *arg, const struct job_event *event)
{
    struct counted *counted = arg;
    counted->first = counted->count == 0 ? event->number : counted->first;
    counted->last = event->number;
    counted->count++;
}

TEST(meta_change_note, keeps_the_newest_of_the_journal)
{
    struct scene scene;
    scene_init(&scene, "aaa");
    struct meta_order order = {.op = META_NOTE, .text = "what", .why = "why", .effect = "effect"};
    for (unsigned i = 0; i < JOB_EVENTS_MAX + 10; i++) {
        CHECK(give(&scene, &order) && !scene.changed);
    }
    struct counted counted = {0};
    CHECK(meta_rows_events(scene.txn, UINT64_MAX, count_event, &counted) == STATUS_OK);
    CHECK(counted.count == JOB_EVENTS_MAX && counted.last == JOB_EVENTS_MAX + 10 &&
          counted.first == 11);
    counted = (struct counted){0};
    CHECK(meta_rows_events(scene.txn, 5, count_event, &counted) == STATUS_OK);
    CHECK(counted.count == 5 && counted.last == JOB_EVENTS_MAX + 10);
    struct slice argv[] = {slice_str("META.EVENTS"), slice_str("1")};
    buf_clear(&scene.reply);
    CHECK(meta_machine_read(scene.txn, (struct args){.argv = argv, .argc = 2}, &scene.reply) ==
          STATUS_OK);
    CHECK(memcmp(scene.reply.data, "*1\r\n%6\r\n", 8) == 0);
    scene_deinit(&scene);
}

TEST(meta_jobs_end, forgets_the_oldest)
{
    struct scene scene;
    scene_init(&scene, "aaaa");
    for (unsigned i = 0; i < JOBS_ENDED_MAX + 5; i++) {
        uint64_t id = add(&scene, move_of(&scene, 0));
        CHECK(id != 0 && set(&scene, id, META_CANCEL, 0));
    }
    CHECK(scene.jobs.count <= JOBS_ENDED_MAX + 1 && scene.jobs.jobs[0].id > 4);
    scene_deinit(&scene);
}

TEST(meta_jobs_mode, is_kept)
{
    struct scene scene;
    scene_init(&scene, "aaa");
    CHECK_EQ(scene.mode, BALANCER_ON);
    struct meta_order order = {.op = META_MODE, .value = BALANCER_OFF};
    CHECK(give(&scene, &order) && scene.mode == BALANCER_OFF);
    order.value = BALANCER_MODES;
    CHECK(!give(&scene, &order) && scene.mode == BALANCER_OFF);
    scene_deinit(&scene);
}

/* ---- at random ---- */

static struct job_spec any_spec(struct scene *scene, struct rand *rand)
{
    struct job_spec spec = {.kind = (enum job_kind)(JOB_SPLIT + rand_below(rand, JOB_REBUILD))};
    size_t count = scene->map.shard_count;
    spec.shard =
        rand_below(rand, 8) == 0 ? SHARD_META : scene->map.shards[rand_below(rand, count)].id;
    spec.other = scene->map.shards[rand_below(rand, count)].id;
    spec.from = 1 + rand_below(rand, 7);
    spec.to = 1 + rand_below(rand, 7);
    return spec;
}

static void check_sets(const struct scene *scene, uint64_t seed)
{
    for (size_t i = 0; i <= scene->map.shard_count; i++) {
        const struct shard_desc *shard =
            i < scene->map.shard_count ? &scene->map.shards[i] : &scene->map.meta;
        const struct cluster_job *holder = job_list_holder(&scene->jobs, shard->id);
        bool moving = holder != NULL && holder->spec.kind == JOB_MOVE && holder->step == 1;
        if (shard->replica_count != 3U + moving) {
            fprintf(stderr, "seed %llu: shard %llu has %u replicas\n", (unsigned long long)seed,
                    (unsigned long long)shard->id, shard->replica_count);
            CHECK(false);
        }
    }
}

static void any_order(struct scene *scene, struct rand *rand)
{
    uint64_t id = 1 + rand_below(rand, scene->jobs.count + 1);
    switch (rand_below(rand, 8)) {
    case 0:
    case 1: (void)add(scene, any_spec(scene, rand)); break;
    case 2:
    case 3: (void)step(scene, id, 0); break;
    case 4: (void)step(scene, id, 1); break;
    case 5: (void)end(scene, id, (enum job_state)(JOB_DONE + rand_below(rand, 3))); break;
    case 6: (void)set(scene, id, (enum meta_set)(META_PAUSE + rand_below(rand, 4)), 1); break;
    case 7:
        (void)node(scene, 1 + rand_below(rand, 7),
                   (enum meta_node_verb)(META_UNDRAIN + rand_below(rand, 3)));
        break;
    }
}

TEST(meta_jobs, any_orders_leave_every_shard_whole)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct scene scene;
        struct rand rand;
        rand_init(&rand, seed);
        scene_init(&scene, "aabbccd");
        for (unsigned i = 0; i < 2000; i++) {
            any_order(&scene, &rand);
            check_sets(&scene, seed);
        }
        CHECK(scene.jobs.count > 30);
        scene_deinit(&scene);
    }
}

/* The new id, 0 if it was refused. */
static uint64_t recover(struct scene *scene, uint64_t shard, uint64_t node_id, uint64_t replica)
{
    struct meta_order order = {.op = META_RECOVER, .id = shard, .value = node_id};
    order.parent = replica;
    if (!give(scene, &order)) {
        return 0;
    }
    struct resp_value value;
    CHECK_EQ(resp_value_read(buf_slice(&scene->reply), &value), STATUS_OK);
    return (uint64_t)value.number;
}

static unsigned copies_on(const struct shard_map *map, uint64_t node_id)
{
    unsigned count = shard_map_replica_on(&map->meta, node_id) != NULL;
    for (size_t i = 0; i < map->shard_count; i++) {
        count += shard_map_replica_on(&map->shards[i], node_id) != NULL;
    }
    return count;
}

TEST(meta_recover_lost, takes_the_copies_of_a_lost_node_elsewhere)
{
    struct scene scene;
    scene_init(&scene, "abcd");
    CHECK(copies_on(&scene.map, 2) > 0);
    CHECK(node(&scene, 2, META_LOST));
    CHECK_EQ(copies_on(&scene.map, 2), 0);
    CHECK(scene.map.shards[0].replica_count == 3 && scene.map.meta.replica_count == 3);
    scene_deinit(&scene);
}

TEST(meta_recover_lost, leaves_the_last_copy_where_it_is)
{
    struct scene scene;
    scene_init(&scene, "abc");
    CHECK(node(&scene, 1, META_LOST));
    CHECK(node(&scene, 2, META_LOST));
    CHECK(node(&scene, 3, META_LOST));
    for (size_t i = 0; i < scene.map.shard_count; i++) {
        CHECK_EQ(scene.map.shards[i].replica_count, 1);
        CHECK_EQ(scene.map.shards[i].replicas[0].node, 3);
    }
    scene_deinit(&scene);
}

TEST(meta_recover_shard, goes_on_with_one_replica_under_new_ids)
{
    struct scene scene;
    scene_init(&scene, "abc");
    CHECK(node(&scene, 2, META_LOST));
    CHECK(node(&scene, 3, META_LOST));
    uint64_t shard = scene.map.shards[1].id;
    const struct replica_desc old = *shard_map_replica_on(&scene.map.shards[1], 1);
    uint64_t conf_ver = scene.map.shards[1].conf_ver;
    uint64_t fresh = recover(&scene, shard, 1, old.id);
    CHECK(fresh > old.id);
    const struct shard_desc *desc = &scene.map.shards[1];
    CHECK_EQ(desc->replica_count, 1);
    CHECK_EQ(desc->replicas[0].id, fresh);
    CHECK(desc->conf_ver > conf_ver && fresh > desc->birth_max);
    CHECK_EQ(recover(&scene, shard, 1, old.id), fresh);
    CHECK(!scene.changed);
    /* New nodes get copies, with ids that were never used. */
    join(&scene, 8, "b");
    join(&scene, 9, "c");
    CHECK_EQ(scene.map.shards[1].replica_count, 3);
    CHECK_EQ(scene.map.shards[1].replicas[0].id, fresh);
    CHECK(scene.map.shards[1].replicas[1].id > fresh && scene.map.shards[1].replicas[2].id > fresh);
    scene_deinit(&scene);
}

TEST(meta_recover_shard, gives_all_that_are_left_new_ids)
{
    struct scene scene;
    scene_init(&scene, "abc");
    const struct shard_desc before = scene.map.shards[0];
    uint64_t fresh = recover(&scene, before.id, 2, shard_map_replica_on(&before, 2)->id);
    const struct shard_desc *desc = &scene.map.shards[0];
    CHECK_EQ(desc->replica_count, 3);
    CHECK_EQ(desc->replicas[0].id, fresh);
    CHECK(desc->replicas[1].id > fresh && desc->replicas[2].id > fresh);
    /* It goes on from one node, not from two. */
    CHECK_EQ(recover(&scene, before.id, 3, shard_map_replica_on(&before, 3)->id), 0);
    scene_deinit(&scene);
}

TEST(meta_recover_shard, takes_an_id_that_the_group_chose_for_itself)
{
    struct scene scene;
    scene_init(&scene, "abc");
    uint64_t old = shard_map_replica_on(&scene.map.meta, 1)->id;
    struct meta_order order = {.op = META_RECOVER, .id = SHARD_META, .value = 1, .parent = old};
    order.undo_of = old;
    CHECK(!give(&scene, &order)); /* Was there before. */
    CHECK(says(&scene, "CONFLICT"));
    order.undo_of = 1000;
    CHECK(give(&scene, &order));
    CHECK_EQ(scene.map.meta.replicas[0].id, 1000);
    const struct shard_desc *desc = &scene.map.shards[0];
    CHECK(recover(&scene, desc->id, 1, shard_map_replica_on(desc, 1)->id) > 1000);
    scene_deinit(&scene);
}
