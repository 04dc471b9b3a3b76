#include "client/admin/backup_cluster.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "client/admin/ask.h"
#include "common/base/assert.h"
#include "common/base/clock.h"

enum { WORDS_MAX = 8, PAUSE_MS = 200, SLOW_MS = 60 * 1000, TEXT_SIZE = 256 };

static void set_error(struct backup_cluster *cluster,
                      const struct backup_node *node,
                      const char *text)
{
    snprintf(cluster->error, sizeof(cluster->error), "node %" PRIu64 " at %.100s: %.120s", node->id,
             node->address, text);
}

static bool connect_node(struct backup_cluster *cluster, struct backup_node *node)
{
    if (node->sherd != NULL && sherd_fault(node->sherd) == SHERD_FINE) {
        return true;
    }
    sherd_close(node->sherd);
    /* Making a file of a large shard may take a while. */
    int timeout_ms = cluster->timeout_ms < SLOW_MS ? SLOW_MS : cluster->timeout_ms;
    node->sherd = sherd_open(node->address, timeout_ms);
    sherd_reply_free(sherd_commandv(node->sherd, "HELLO", "3", NULL));
    if (sherd_fault(node->sherd) == SHERD_FINE) {
        return true;
    }
    set_error(cluster, node, sherd_error(node->sherd));
    sherd_close(node->sherd);
    node->sherd = NULL;
    return false;
}

static enum verb_exit learn_nodes(struct backup_cluster *cluster)
{
    static const char *const status[] = {"SHERD", "STATUS"};
    static const char *const nodes[] = {"SHERD", "NODES"};
    struct sherd_reply *reply = NULL;
    enum verb_exit code = ask_command(cluster->call, status, 2, false, &reply);
    if (code != VERB_DONE) {
        return code;
    }
    (void)ask_field(reply, "cluster", cluster->id, sizeof(cluster->id));
    sherd_reply_free(reply);
    code = ask_command(cluster->call, nodes, 2, false, &reply);
    if (code != VERB_DONE) {
        return code;
    }
    cluster->nodes = calloc(reply->count + 1, sizeof(*cluster->nodes));
    assert(cluster->nodes != NULL);
    for (size_t i = 0; i < reply->count; i++) {
        const struct sherd_reply *row = &reply->elements[i];
        if (ask_number(row, "up") != 0) {
            struct backup_node *node = &cluster->nodes[cluster->node_count++];
            node->id = (uint64_t)ask_number(row, "id");
            (void)ask_field(row, "address", node->address, sizeof(node->address));
        }
    }
    sherd_reply_free(reply);
    return VERB_DONE;
}

enum verb_exit backup_cluster_open(const struct verb_call *call, struct backup_cluster *cluster)
{
    long timeout_ms = 0;
    *cluster = (struct backup_cluster){.call = call};
    if (verb_number(call, "timeout", 1, 3600 * 1000, &timeout_ms) != STATUS_OK) {
        return VERB_USAGE;
    }
    cluster->timeout_ms = (int)timeout_ms;
    enum verb_exit code = learn_nodes(cluster);
    for (size_t i = 0; code == VERB_DONE && i < cluster->node_count; i++) {
        if (!connect_node(cluster, &cluster->nodes[i])) {
            fprintf(stderr,
                    "sherd-admin: %s; nodes are spoken to directly, under these addresses\n",
                    cluster->error);
            code = VERB_CANNOT_CONNECT;
        }
    }
    return code;
}

static void forget_shards(struct backup_cluster *cluster)
{
    for (size_t i = 0; i < cluster->shard_count; i++) {
        free(cluster->shards[i].state);
    }
    cluster->shard_count = 0;
}

void backup_cluster_close(struct backup_cluster *cluster)
{
    forget_shards(cluster);
    free(cluster->shards);
    for (size_t i = 0; i < cluster->node_count; i++) {
        sherd_close(cluster->nodes[i].sherd);
    }
    free(cluster->nodes);
    *cluster = (struct backup_cluster){0};
}

static uint64_t number_of(const struct sherd_reply *map, const char *name)
{
    const struct sherd_reply *value = sherd_reply_field(map, name);
    return value == NULL || value->text == NULL ? 0 : strtoull(value->text, NULL, 10);
}

static void take_shards(struct backup_cluster *cluster,
                        size_t node,
                        const struct sherd_reply *reply)
{
    size_t room = cluster->shard_count + reply->count + 1;
    cluster->shards = realloc(cluster->shards, room * sizeof(*cluster->shards));
    assert(cluster->shards != NULL);
    for (size_t i = 0; i < reply->count; i++) {
        const struct sherd_reply *map = &reply->elements[i];
        struct backup_shard *shard = &cluster->shards[cluster->shard_count++];
        *shard = (struct backup_shard){.node = node,
                                       .id = number_of(map, "shard"),
                                       .start = number_of(map, "start"),
                                       .last = number_of(map, "last"),
                                       .ver = number_of(map, "ver"),
                                       .keys = number_of(map, "keys"),
                                       .version = number_of(map, "version"),
                                       .index = number_of(map, "index"),
                                       .term = number_of(map, "term")};
        const struct sherd_reply *state = sherd_reply_field(map, "state");
        if (state != NULL && state->text != NULL) {
            shard->state = malloc(state->len + 1);
            assert(shard->state != NULL);
            memcpy(shard->state, state->text, state->len);
            shard->state_len = state->len;
        }
    }
}

/* Sends to all, then hears all. */
static bool ask_all(struct backup_cluster *cluster,
                    const char *const *words,
                    size_t count,
                    bool shards)
{
    const char *argv[WORDS_MAX] = {"SHERD", "BACKUP"};
    assert(count + 2 <= WORDS_MAX);
    memcpy(&argv[2], words, count * sizeof(*words));
    bool good = true;
    cluster->longest = 0;
    for (size_t i = 0; i < cluster->node_count; i++) {
        struct backup_node *node = &cluster->nodes[i];
        if (!connect_node(cluster, node)) {
            good = false;
        } else if (sherd_send(node->sherd, argv, NULL, count + 2) != 0) {
            set_error(cluster, node, sherd_error(node->sherd));
            good = false;
        }
    }
    for (size_t i = 0; i < cluster->node_count; i++) {
        struct backup_node *node = &cluster->nodes[i];
        if (node->sherd == NULL || sherd_fault(node->sherd) != SHERD_FINE) {
            continue;
        }
        struct sherd_reply *reply = sherd_receive(node->sherd);
        if (reply == NULL || reply->type == SHERD_ERROR) {
            set_error(cluster, node, reply == NULL ? sherd_error(node->sherd) : reply->text);
            good = false;
        } else if (shards) {
            take_shards(cluster, i, reply);
        } else if (reply->type == SHERD_INTEGER && reply->integer > cluster->longest) {
            cluster->longest = reply->integer;
        }
        sherd_reply_free(reply);
    }
    return good;
}

bool backup_cluster_tell(struct backup_cluster *cluster, const char *const *words, size_t count)
{
    return ask_all(cluster, words, count, false);
}

static int by_start(const void *left, const void *right)
{
    const struct backup_shard *a = left;
    const struct backup_shard *b = right;
    return a->start < b->start ? -1 : a->start > b->start;
}

static bool covers(struct backup_cluster *cluster)
{
    uint64_t next = 0;
    qsort(cluster->shards, cluster->shard_count, sizeof(*cluster->shards), by_start);
    for (size_t i = 0; i < cluster->shard_count; i++) {
        const struct backup_shard *shard = &cluster->shards[i];
        if (shard->start != next || (i > 0 && next == 0)) {
            break;
        }
        next = shard->last + 1;
        if (next == 0 && i + 1 == cluster->shard_count) {
            return true;
        }
    }
    snprintf(cluster->error, sizeof(cluster->error),
             "token %" PRIu64 " and what follows has no leader at the moment, or two", next);
    return false;
}

bool backup_cluster_learn(struct backup_cluster *cluster, const char *const *words, size_t count)
{
    forget_shards(cluster);
    return ask_all(cluster, words, count, true) && covers(cluster);
}

bool backup_cluster_wait(struct backup_cluster *cluster, uint64_t wait_ms)
{
    static const char *const words[] = {"SHARDS"};
    uint64_t until_ms = clock_now_ms() + wait_ms;
    while (!backup_cluster_learn(cluster, words, 1)) {
        if (clock_now_ms() >= until_ms) {
            return false;
        }
        (void)poll(NULL, 0, PAUSE_MS);
    }
    return true;
}

struct backup_shard *backup_cluster_find(struct backup_cluster *cluster, uint64_t token)
{
    size_t low = 0;
    size_t high = cluster->shard_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (cluster->shards[middle].start <= token) {
            low = middle;
        } else {
            high = middle;
        }
    }
    assert(cluster->shard_count > 0);
    return &cluster->shards[low];
}

uint64_t backup_cluster_keys(const struct backup_cluster *cluster)
{
    uint64_t keys = 0;
    for (size_t i = 0; i < cluster->shard_count; i++) {
        keys += cluster->shards[i].keys;
    }
    return keys;
}
