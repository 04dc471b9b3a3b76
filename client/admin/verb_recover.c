/* `recover`: shards that lost their majority for good go on with what is left of them. */

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "client/admin/ask.h"
#include "client/admin/recover_view.h"
#include "common/base/clock.h"

enum {
    GIVE_UP_MS = 60 * 1000,
    PAUSE_MS = 200,
    NUMBER_SIZE = 24,
    WORDS_MAX = 7,
    FRESH_GAP = 100000, /* Ids that the meta group may have given out and nobody here has seen. */
};

struct recover {
    struct recover_view view;
    bool json;
    size_t dead;
    size_t nameless;
    size_t lost;
    size_t recovered;
};

static bool parse_lost(const char *text, struct recover_view *view)
{
    while (*text != '\0') {
        char *end = NULL;
        unsigned long long node = strtoull(text, &end, 10);
        if (end == text || node == 0 || (*end != ',' && *end != '\0') ||
            view->lost_count == RECOVER_LOST_MAX) {
            return false;
        }
        view->lost[view->lost_count++] = node;
        text = *end == ',' ? end + 1 : end;
    }
    return view->lost_count > 0;
}

static void say_lost(const struct recover *recover, const struct recover_shard *shard)
{
    char time[ASK_TEXT_SIZE];
    const struct recover_replica *best = shard->best;
    const struct backup_node *node = &recover->view.cluster.nodes[best->node];
    printf("shard %" PRIu64 "%s has lost its majority. Node %" PRIu64
           " has a copy: replica %" PRIu64 ", entry %" PRIu64 " of term %" PRIu64 ".\n",
           shard->id, shard->id == RECOVER_SHARD_META ? " (the meta group)" : "", node->id,
           best->replica, best->last_index, best->last_term);
    printf(
        "  It goes on with all it has. Lost is what was acknowledged and did not reach that node.\n"
        "  Of its entries %" PRIu64 " to %" PRIu64
        " nobody knows whether they were acknowledged; "
        "they are kept.\n",
        best->commit + 1, best->last_index);
    if (best->time_ms > 0) {
        printf("  The newest entry that was applied here is of %s UTC.\n",
               ask_time((int64_t)best->time_ms, time, sizeof(time)));
    }
}

static void say_shard(struct recover *recover, const struct recover_shard *shard)
{
    switch (shard->state) {
    case RECOVER_LED: return;
    case RECOVER_WAITS:
        printf("shard %" PRIu64 " has no leader now, and enough replicas to elect one: wait.\n",
               shard->id);
        return;
    case RECOVER_NAMELESS:
        recover->nameless++;
        printf("shard %" PRIu64 " has no leader. Node %" PRIu64
               " does not answer: start it. If it is lost for good: --lost.\n",
               shard->id, shard->missing);
        return;
    case RECOVER_DEAD:
        recover->dead++;
        printf("shard %" PRIu64 " has no copy on any node that answers.\n", shard->id);
        return;
    case RECOVER_LOST:
        recover->lost++;
        say_lost(recover, shard);
        return;
    }
}

static const char *state_word(enum recover_state state)
{
    static const char *const words[] = {[RECOVER_LED] = "led",
                                        [RECOVER_WAITS] = "waits",
                                        [RECOVER_NAMELESS] = "majority away",
                                        [RECOVER_LOST] = "majority lost",
                                        [RECOVER_DEAD] = "no copy"};
    return words[state];
}

static void print_json(struct recover *recover)
{
    const struct recover_view *view = &recover->view;
    printf("{\"recovered\":%zu,\"shards\":[", recover->recovered);
    for (size_t i = 0; i < view->shard_count; i++) {
        const struct recover_shard *shard = &view->shards[i];
        const struct recover_replica *best = shard->best;
        recover->nameless += shard->state == RECOVER_NAMELESS;
        recover->dead += shard->state == RECOVER_DEAD;
        recover->lost += shard->state == RECOVER_LOST;
        printf("%s{\"shard\":%" PRIu64 ",\"state\":\"%s\"", i == 0 ? "" : ",", shard->id,
               state_word(shard->state));
        if (best != NULL && shard->state != RECOVER_LED) {
            printf(",\"node\":%" PRIu64 ",\"replica\":%" PRIu64 ",\"term\":%" PRIu64
                   ",\"last_index\":%" PRIu64 ",\"applied\":%" PRIu64,
                   view->cluster.nodes[best->node].id, best->replica, best->last_term,
                   best->last_index, best->applied);
        }
        printf("}");
    }
    printf("]}\n");
}

static enum verb_exit show(struct recover *recover)
{
    enum verb_exit code = recover_view_look(&recover->view);
    recover->dead = 0;
    recover->nameless = 0;
    recover->lost = 0;
    if (code != VERB_DONE) {
        return code;
    }
    if (recover->json) {
        print_json(recover);
        return VERB_DONE;
    }
    for (size_t i = 0; i < recover->view.shard_count; i++) {
        say_shard(recover, &recover->view.shards[i]);
    }
    if (recover->lost + recover->dead + recover->nameless == 0) {
        printf("no shard has lost its majority\n");
    }
    return VERB_DONE;
}

/* A command to a node, until it is answered well. *number: an integer that it is answered with. */
static bool insist(
    struct recover *recover, size_t node, const char *const *words, size_t count, uint64_t *number)
{
    static const char *const final[] = {"UNSAFE", "CONFLICT", "GONE", "ERR"};
    struct sherd *sherd = recover->view.cluster.nodes[node].sherd;
    uint64_t until_ms = clock_now_ms() + GIVE_UP_MS;
    for (;;) {
        struct sherd_reply *reply = sherd_command(sherd, words, NULL, count);
        if (reply == NULL) {
            fprintf(stderr, "sherd-admin: %s\n", sherd_error(sherd));
            return false;
        }
        bool good = reply->type != SHERD_ERROR;
        bool over = clock_now_ms() >= until_ms;
        for (size_t i = 0; !good && i < sizeof(final) / sizeof(final[0]); i++) {
            over = over || strncmp(reply->text, final[i], strlen(final[i])) == 0;
        }
        if (good && number != NULL) {
            *number = (uint64_t)reply->integer;
        }
        if (!good && over) {
            fprintf(stderr, "sherd-admin: %s %s: %s\n", words[1], words[2], reply->text);
        }
        sherd_reply_free(reply);
        if (good || over) {
            return good;
        }
        (void)poll(NULL, 0, PAUSE_MS);
    }
}

/* Tells the map which replica goes on, under which name; 0: the map chooses. */
static bool order(struct recover *recover,
                  const struct recover_replica *best,
                  uint64_t wanted,
                  uint64_t *fresh)
{
    char numbers[4][NUMBER_SIZE];
    snprintf(numbers[0], NUMBER_SIZE, "%" PRIu64, best->shard);
    snprintf(numbers[1], NUMBER_SIZE, "%" PRIu64, recover->view.cluster.nodes[best->node].id);
    snprintf(numbers[2], NUMBER_SIZE, "%" PRIu64, best->replica);
    snprintf(numbers[3], NUMBER_SIZE, "%" PRIu64, wanted);
    const char *words[WORDS_MAX] = {"SHERD",    "SHARD",    "RECOVER", numbers[0],
                                    numbers[1], numbers[2], numbers[3]};
    return insist(recover, best->node, words, wanted == 0 ? 6 : 7, fresh);
}

static bool rebirth(struct recover *recover, const struct recover_replica *best, uint64_t fresh)
{
    char numbers[3][NUMBER_SIZE];
    snprintf(numbers[0], NUMBER_SIZE, "%" PRIu64, best->shard);
    snprintf(numbers[1], NUMBER_SIZE, "%" PRIu64, best->replica);
    snprintf(numbers[2], NUMBER_SIZE, "%" PRIu64, fresh);
    const char *words[] = {"SHERD", "REPLICA", "REBIRTH", numbers[0], numbers[1], numbers[2]};
    return insist(recover, best->node, words, 6, NULL);
}

/* Until somebody leads it. */
static bool await_leader(struct recover *recover, uint64_t shard)
{
    uint64_t until_ms = clock_now_ms() + GIVE_UP_MS;
    while (clock_now_ms() < until_ms) {
        if (recover_view_look(&recover->view) != VERB_DONE) {
            return false;
        }
        if (recover_view_leader(&recover->view, shard) != NULL) {
            return true;
        }
        (void)poll(NULL, 0, PAUSE_MS);
    }
    fprintf(stderr, "sherd-admin: shard %" PRIu64 " has no leader yet\n", shard);
    return false;
}

/* First of all, as it keeps the map: so it names itself. */
static bool recover_meta(struct recover *recover)
{
    const struct recover_shard *meta = recover_view_shard(&recover->view, RECOVER_SHARD_META);
    if (meta == NULL || meta->state == RECOVER_LED) {
        return true;
    }
    if (meta->state == RECOVER_WAITS) {
        return await_leader(recover, RECOVER_SHARD_META);
    }
    if (meta->state != RECOVER_LOST) {
        fprintf(stderr,
                "sherd-admin: no copy of the meta group is left, which knows the cluster: "
                "make a new cluster, and restore a backup\n");
        return false;
    }
    struct recover_replica best = *meta->best;
    uint64_t fresh = recover->view.replica_max + FRESH_GAP;
    recover->recovered++;
    return rebirth(recover, &best, fresh) && await_leader(recover, RECOVER_SHARD_META) &&
           order(recover, &best, fresh, NULL);
}

static bool recover_shards(struct recover *recover)
{
    struct recover_view *view = &recover->view;
    for (size_t i = 0; i < view->shard_count; i++) {
        const struct recover_shard *shard = &view->shards[i];
        uint64_t fresh = 0;
        if (shard->state != RECOVER_LOST || shard->id == RECOVER_SHARD_META) {
            continue;
        }
        if (!order(recover, shard->best, 0, &fresh) || !rebirth(recover, shard->best, fresh)) {
            return false;
        }
        recover->recovered++;
    }
    return true;
}

static bool lose_nodes(struct recover *recover)
{
    for (size_t i = 0; i < recover->view.lost_count; i++) {
        char number[NUMBER_SIZE];
        snprintf(number, sizeof(number), "%" PRIu64, recover->view.lost[i]);
        const char *words[] = {"SHERD", "NODE", "LOST", number};
        if (!insist(recover, 0, words, 4, NULL)) {
            return false;
        }
    }
    return true;
}

static bool await_all(struct recover *recover)
{
    uint64_t until_ms = clock_now_ms() + GIVE_UP_MS;
    bool led = false;
    while (!led && clock_now_ms() < until_ms) {
        if (recover_view_look(&recover->view) != VERB_DONE) {
            return false;
        }
        size_t without = 0;
        for (size_t i = 0; i < recover->view.shard_count; i++) {
            without += recover->view.shards[i].state != RECOVER_LED;
        }
        led = without == recover->dead; /* One that is being made is not there for a moment. */
        (void)poll(NULL, 0, led ? 0 : PAUSE_MS);
    }
    return led;
}

static enum verb_exit carry_out(struct recover *recover)
{
    if (!recover_meta(recover) || !lose_nodes(recover) ||
        recover_view_look(&recover->view) != VERB_DONE || !recover_shards(recover)) {
        fprintf(stderr, "sherd-admin: not done; the same command goes on from here\n");
        return VERB_PARTLY;
    }
    bool led = await_all(recover);
    size_t dead = recover->dead;
    if (recover->json) {
        enum verb_exit code = show(recover);
        return code != VERB_DONE ? code : led && dead == 0 ? VERB_DONE : VERB_PARTLY;
    }
    printf(
        "%zu shards go on with what was left of them. They have copies again when there are nodes\n"
        "for them: start empty ones with --join, and see `sherd-admin status`.\n",
        recover->recovered);
    if (dead > 0) {
        printf("%zu shards have no copy left: make a new cluster, and restore a backup.\n", dead);
    }
    return led && dead == 0 ? VERB_DONE : VERB_PARTLY;
}

/* A node that answers is not lost. */
static bool check_lost(const struct recover *recover)
{
    const struct backup_cluster *cluster = &recover->view.cluster;
    for (size_t i = 0; i < cluster->node_count; i++) {
        if (recover_view_is_lost(&recover->view, cluster->nodes[i].id)) {
            fprintf(stderr, "sherd-admin: node %" PRIu64 " is up: it is not lost\n",
                    cluster->nodes[i].id);
            return false;
        }
    }
    return true;
}

static enum verb_exit run_recover(struct recover *recover, bool sure)
{
    enum verb_exit code = show(recover);
    if (code != VERB_DONE) {
        return code;
    }
    bool idle = recover->lost == 0 && recover->view.lost_count == 0;
    if (!sure || idle) {
        bool fine = recover->lost + recover->dead + recover->nameless == 0;
        if (!recover->json && recover->lost > 0) {
            printf(
                "Nothing was changed. Give --lost NODES and --yes if none of these nodes will "
                "come back.\n");
        }
        return fine && recover->view.lost_count == 0 ? VERB_DONE : VERB_UNSAFE;
    }
    if (recover->nameless > 0) {
        fprintf(stderr, "sherd-admin: nothing was changed: name all nodes that are lost\n");
        return VERB_UNSAFE;
    }
    return carry_out(recover);
}

enum verb_exit verb_run_recover(const struct verb_call *call)
{
    struct recover recover = {.json = verb_given(call, "json")};
    const char *lost = verb_option(call, "lost");
    if (lost != NULL && !parse_lost(lost, &recover.view)) {
        fprintf(stderr, "sherd-admin: --lost is a list of nodes: 2,3\n");
        return VERB_USAGE;
    }
    if (verb_given(call, "yes") && lost == NULL) {
        fprintf(stderr, "sherd-admin: say which nodes will never come back: --lost 2,3\n");
        return VERB_USAGE;
    }
    enum verb_exit code = recover_view_open(call, &recover.view);
    if (code == VERB_DONE) {
        code = check_lost(&recover) ? run_recover(&recover, verb_given(call, "yes")) : VERB_UNSAFE;
    }
    recover_view_close(&recover.view);
    return code;
}
