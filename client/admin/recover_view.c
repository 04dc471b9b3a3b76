#include "client/admin/recover_view.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "client/admin/ask.h"
#include "common/base/assert.h"

enum { LIST_TRIES = 100, LIST_PAUSE_MS = 50 };

static uint64_t number_of(const struct sherd_reply *map, const char *name)
{
    const struct sherd_reply *value = sherd_reply_field(map, name);
    return value == NULL || value->text == NULL ? 0 : strtoull(value->text, NULL, 10);
}

bool recover_view_is_lost(const struct recover_view *view, uint64_t node)
{
    for (size_t i = 0; i < view->lost_count; i++) {
        if (view->lost[i] == node) {
            return true;
        }
    }
    return false;
}

static bool answers(const struct recover_view *view, uint64_t node)
{
    for (size_t i = 0; i < view->cluster.node_count; i++) {
        if (view->cluster.nodes[i].id == node) {
            return true;
        }
    }
    return false;
}

enum verb_exit recover_view_open(const struct verb_call *call, struct recover_view *view)
{
    return backup_cluster_open(call, &view->cluster);
}

static void forget(struct recover_view *view)
{
    free(view->replicas);
    free(view->shards);
    view->replicas = NULL;
    view->shards = NULL;
    view->replica_count = 0;
    view->shard_count = 0;
}

void recover_view_close(struct recover_view *view)
{
    forget(view);
    backup_cluster_close(&view->cluster);
}

/* "replica@node", with a question mark if it does not vote. */
static bool read_member(const char *text, struct recover_member *member)
{
    int end = 0;
    if (sscanf(text, "%" SCNu64 "@%" SCNu64 "%n", &member->replica, &member->node, &end) != 2) {
        return false;
    }
    member->votes = text[end] == '\0';
    return true;
}

static void read_replica(struct recover_view *view, size_t node, const struct sherd_reply *map)
{
    struct recover_replica *replica = &view->replicas[view->replica_count++];
    const struct sherd_reply *role = sherd_reply_field(map, "role");
    const struct sherd_reply *members = sherd_reply_field(map, "members");
    *replica = (struct recover_replica){
        .node = node,
        .shard = number_of(map, "shard"),
        .replica = number_of(map, "replica"),
        .start = number_of(map, "start"),
        .last = number_of(map, "last"),
        .term = number_of(map, "term"),
        .last_term = number_of(map, "last_term"),
        .last_index = number_of(map, "last_index"),
        .commit = number_of(map, "commit"),
        .applied = number_of(map, "applied"),
        .time_ms = number_of(map, "time_ms"),
        .leads = role != NULL && role->text != NULL && strcmp(role->text, "leader") == 0};
    for (size_t i = 0; members != NULL && i < members->count; i++) {
        const char *text = members->elements[i].text;
        if (text != NULL && replica->member_count < RECOVER_MEMBERS_MAX &&
            read_member(text, &replica->members[replica->member_count])) {
            replica->member_count++;
        }
    }
    uint64_t id = replica->replica;
    view->replica_max = view->replica_max < id ? id : view->replica_max;
}

/* A node in which a replica is being made answers that later. */
static struct sherd_reply *ask_list(struct sherd *sherd)
{
    for (int tries = 0;; tries++) {
        struct sherd_reply *reply = sherd_commandv(sherd, "SHERD", "REPLICA", "LIST", NULL);
        bool later =
            reply != NULL && reply->type == SHERD_ERROR && strncmp(reply->text, "TRYAGAIN", 8) == 0;
        if (!later || tries == LIST_TRIES) {
            return reply;
        }
        sherd_reply_free(reply);
        (void)poll(NULL, 0, LIST_PAUSE_MS);
    }
}

static enum verb_exit read_replicas(struct recover_view *view)
{
    for (size_t i = 0; i < view->cluster.node_count; i++) {
        struct backup_node *node = &view->cluster.nodes[i];
        struct sherd_reply *reply = ask_list(node->sherd);
        if (reply == NULL || reply->type != SHERD_ARRAY) {
            const char *why = reply == NULL         ? sherd_error(node->sherd)
                              : reply->text == NULL ? "not an answer"
                                                    : reply->text;
            fprintf(stderr, "sherd-admin: node %" PRIu64 " at %s: %s\n", node->id, node->address,
                    why);
            sherd_reply_free(reply);
            return VERB_FAILED;
        }
        view->replicas = realloc(
            view->replicas, (view->replica_count + reply->count + 1) * sizeof(*view->replicas));
        assert(view->replicas != NULL);
        for (size_t n = 0; n < reply->count; n++) {
            read_replica(view, i, &reply->elements[n]);
        }
        sherd_reply_free(reply);
    }
    return VERB_DONE;
}

/* The shards of the map, as a node that answers has it. */
static enum verb_exit read_shards(struct recover_view *view)
{
    if (view->cluster.node_count == 0) {
        fprintf(stderr, "sherd-admin: no node is up\n");
        return VERB_FAILED;
    }
    struct sherd *sherd = view->cluster.nodes[0].sherd;
    struct sherd_reply *reply = sherd_commandv(sherd, "SHERD", "SHARDS", NULL);
    if (reply == NULL || reply->type != SHERD_ARRAY) {
        fprintf(stderr, "sherd-admin: node %" PRIu64 " does not know the shards\n",
                view->cluster.nodes[0].id);
        sherd_reply_free(reply);
        return VERB_FAILED;
    }
    view->shards = calloc(reply->count + 1, sizeof(*view->shards));
    assert(view->shards != NULL);
    for (size_t i = 0; i < reply->count; i++) {
        view->shards[view->shard_count++].id = (uint64_t)ask_number(&reply->elements[i], "id");
        const struct sherd_reply *replicas = sherd_reply_field(&reply->elements[i], "replicas");
        for (size_t n = 0; replicas != NULL && n < replicas->count; n++) {
            struct recover_member member;
            const char *text = replicas->elements[n].text;
            if (text != NULL && read_member(text, &member) && member.replica > view->replica_max) {
                view->replica_max = member.replica;
            }
        }
    }
    sherd_reply_free(reply);
    return VERB_DONE;
}

/* By the rule of elections: the later term of the last entry, then the longer log. */
static bool better(const struct recover_replica *a, const struct recover_replica *b)
{
    if (b == NULL || a->last_term != b->last_term) {
        return b == NULL || a->last_term > b->last_term;
    }
    return a->last_index > b->last_index;
}

/* How many vote as the replica knows it, and how many of their nodes answer. */
static size_t count_voters(const struct recover_view *view,
                           const struct recover_replica *replica,
                           size_t *left,
                           uint64_t *missing)
{
    size_t voters = 0;
    *left = 0;
    for (size_t i = 0; i < replica->member_count; i++) {
        const struct recover_member *member = &replica->members[i];
        bool there = answers(view, member->node);
        voters += member->votes;
        *left += member->votes && there;
        if (member->votes && !there && !recover_view_is_lost(view, member->node)) {
            *missing = member->node;
        }
    }
    return voters;
}

/* A group that has a majority of its own is not lost, whatever others remember of older ones: one
 * that was let go on alone is such a group. */
static void judge(const struct recover_view *view, struct recover_shard *shard)
{
    size_t left = 0;
    bool whole = false;
    *shard = (struct recover_shard){.id = shard->id, .state = RECOVER_DEAD};
    for (size_t i = 0; i < view->replica_count; i++) {
        const struct recover_replica *replica = &view->replicas[i];
        if (replica->shard != shard->id) {
            continue;
        }
        bool most = count_voters(view, replica, &left, &shard->missing) / 2 < left;
        whole = whole || (most && replica->applied > 0);
        if (most && replica->leads) {
            shard->state = RECOVER_LED;
            return;
        }
        shard->best = replica->applied > 0 && better(replica, shard->best) ? replica : shard->best;
    }
    shard->missing = 0;
    if (shard->best == NULL) {
        return;
    }
    (void)count_voters(view, shard->best, &left, &shard->missing);
    shard->state = whole ? RECOVER_WAITS : shard->missing != 0 ? RECOVER_NAMELESS : RECOVER_LOST;
}

enum verb_exit recover_view_look(struct recover_view *view)
{
    forget(view);
    enum verb_exit code = read_replicas(view);
    code = code == VERB_DONE ? read_shards(view) : code;
    for (size_t i = 0; code == VERB_DONE && i < view->shard_count; i++) {
        judge(view, &view->shards[i]);
    }
    return code;
}

const struct recover_shard *recover_view_shard(const struct recover_view *view, uint64_t id)
{
    for (size_t i = 0; i < view->shard_count; i++) {
        if (view->shards[i].id == id) {
            return &view->shards[i];
        }
    }
    return NULL;
}

const struct recover_replica *recover_view_leader(const struct recover_view *view, uint64_t id)
{
    for (size_t i = 0; i < view->replica_count; i++) {
        if (view->replicas[i].shard == id && view->replicas[i].leads) {
            return &view->replicas[i];
        }
    }
    return NULL;
}
