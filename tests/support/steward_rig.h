#ifndef TESTS_SUPPORT_STEWARD_RIG_H
#define TESTS_SUPPORT_STEWARD_RIG_H

#include "common/base/rand.h"
#include "replication/group.h"
#include "server/control/steward.h"
#include "server/store/store.h"
#include "tests/support/folder.h"

/* A steward over the rows of a real store, among groups that are played: they follow the map step
 * by step, as reconcile does, and divide when they are told. Answers come late, or not at all. What
 * goes wrong fails the test. Thread: one. */

enum { GROUPS_MAX = 64, ASKS_MAX = 64, NODES_MAX = 8, TICK_MS = 100 };

struct group_played {
    struct shard_desc desc; /* Its range, as its own log says. */
    unsigned count;
    struct {
        uint64_t replica, node;
        bool votes;
    } members[GROUP_MEMBERS_MAX];
    uint64_t leader; /* Node. */
};

struct asked {
    struct errand_order order;
    struct slice argv[ERRAND_ARGC_MAX];
    struct buf bytes;
};

struct steward_rig {
    char folder[FOLDER_SIZE];
    struct store *store;
    struct txn *txn;
    struct rand rand;
    struct steward *steward;
    struct shard_map map; /* As the rows say. */
    struct job_list jobs;
    struct group_played groups[GROUPS_MAX];
    size_t group_count;
    struct asked *asks[ASKS_MAX];
    size_t ask_count;
    bool up[NODES_MAX + 1];
    bool refuses_splits;
    uint64_t now_ms;
    uint64_t term;
    unsigned lost_permille; /* Of questions and answers. */
    uint64_t oldest_term;   /* Greatest term that a shard was asked with. */
    bool rows_due;          /* The steward has not seen the newest rows. */
};

/* One node for each letter, in the zone of that name; four shards of three replicas. */
void steward_rig_init(struct steward_rig *world, const char *zones, uint64_t seed);
void steward_rig_deinit(struct steward_rig *world);
/* What the meta group answers, appended to *reply. */
void steward_rig_run(struct steward_rig *world, struct args args, struct buf *reply);
/* Another node leads the meta group; what was asked is forgotten. */
void steward_rig_new_steward(struct steward_rig *world);
void steward_rig_drop_asks(struct steward_rig *world);
/* A tenth of a second. */
void steward_rig_tick(struct steward_rig *world);
void steward_rig_ticks(struct steward_rig *world, unsigned count);
/* The id of the new job, 0 if it was refused. */
uint64_t steward_rig_add(struct steward_rig *world, struct job_spec spec);
const struct cluster_job *steward_rig_job(const struct steward_rig *world, uint64_t id);
size_t steward_rig_active(const struct steward_rig *world);
size_t steward_rig_replicas_on(const struct steward_rig *world, uint64_t node);
/* NULL if there is none. */
struct group_played *steward_rig_group(struct steward_rig *world, uint64_t shard);
/* Groups and map say the same, and nothing is left over. */
void steward_rig_check_settled(struct steward_rig *world);

#endif
