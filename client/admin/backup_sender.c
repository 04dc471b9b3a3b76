#include "client/admin/backup_sender.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/reader.h"

enum { GIVE_UP_MS = 60 * 1000, PAUSE_MS = 200, NUMBER_SIZE = 24, WORDS_MAX = 8 };

void sender_init(struct sender *sender, struct backup_cluster *cluster)
{
    *sender = (struct sender){.cluster = cluster};
    sender->lanes = calloc(cluster->node_count + 1, sizeof(*sender->lanes));
    sender->late = calloc(cluster->node_count * SENDER_WINDOW + 1, sizeof(struct sender_batch *));
    assert(sender->lanes != NULL && sender->late != NULL);
}

struct sender_batch *sender_batch_new(uint64_t token, uint64_t version, size_t *pending)
{
    struct sender_batch *batch = calloc(1, sizeof(*batch));
    assert(batch != NULL);
    buf_init(&batch->rows, SIZE_MAX / 2);
    batch->token = token;
    batch->version = version;
    batch->pending = pending;
    return batch;
}

static void batch_free(struct sender_batch *batch)
{
    buf_deinit(&batch->rows);
    free(batch);
}

void sender_deinit(struct sender *sender)
{
    for (size_t i = 0; i < sender->cluster->node_count; i++) {
        struct sender_lane *lane = &sender->lanes[i];
        for (; lane->count > 0; lane->count--) {
            batch_free(lane->batches[lane->first]);
            lane->first = (lane->first + 1) % SENDER_WINDOW;
        }
    }
    for (size_t i = 0; i < sender->late_count; i++) {
        batch_free(sender->late[i]);
    }
    free(sender->lanes);
    free(sender->late);
}

/* Errors of which trying again may make something else. */
static bool passes(const char *text)
{
    static const char *const words[] = {"NOTLEADER", "NOTOWNER", "TRYAGAIN", "UNKNOWN",
                                        "LOADING",   "DISKFULL", "BUSY"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strncmp(text, words[i], strlen(words[i])) == 0) {
            return true;
        }
    }
    return false;
}

static int send_apply(struct sender *sender,
                      const struct backup_shard *shard,
                      const struct slice *words,
                      size_t count)
{
    char number[NUMBER_SIZE];
    const char *argv[WORDS_MAX] = {"SHERD", "BACKUP", "apply", number};
    size_t lens[WORDS_MAX] = {5, 6, 5};
    assert(count + 4 <= WORDS_MAX);
    lens[3] = (size_t)snprintf(number, sizeof(number), "%" PRIu64, shard->id);
    for (size_t i = 0; i < count; i++) {
        argv[4 + i] = words[i].len == 0 ? "" : (const char *)words[i].data;
        lens[4 + i] = words[i].len;
    }
    return sherd_send(sender->cluster->nodes[shard->node].sherd, argv, lens, count + 4);
}

static size_t adopt_words(struct slice rows, uint64_t version, char *number, struct slice words[4])
{
    (void)snprintf(number, NUMBER_SIZE, "%" PRIu64, version);
    words[0] = slice_str("adopt");
    words[1] = slice_str(number);
    words[2] = slice_str("0");
    words[3] = rows;
    return 4;
}

/* OK: it is done; BUSY: try again; else it failed, and error says why. */
static enum status settle(struct sender *sender, const struct sherd_reply *reply)
{
    if (reply == NULL) {
        return STATUS_BUSY;
    }
    if (reply->type == SHERD_ERROR) {
        snprintf(sender->error, sizeof(sender->error), "%.200s", reply->text);
        return passes(reply->text) ? STATUS_BUSY : STATUS_CONFLICT;
    }
    if (reply->type == SHERD_INTEGER && reply->integer > 0) {
        sender->adopted += (uint64_t)reply->integer;
    }
    return STATUS_OK;
}

static void done(struct sender_batch *batch)
{
    assert(*batch->pending > 0);
    --*batch->pending;
    batch_free(batch);
}

static bool connected(const struct sender *sender, size_t node)
{
    struct sherd *sherd = sender->cluster->nodes[node].sherd;
    return sherd != NULL && sherd_fault(sherd) == SHERD_FINE;
}

/* The answer to the oldest batch under way to a node. */
static bool take_reply(struct sender *sender, size_t node)
{
    struct sender_lane *lane = &sender->lanes[node];
    assert(lane->count > 0);
    struct sherd_reply *reply =
        connected(sender, node) ? sherd_receive(sender->cluster->nodes[node].sherd) : NULL;
    struct sender_batch *batch = lane->batches[lane->first];
    lane->first = (lane->first + 1) % SENDER_WINDOW;
    lane->count--;
    enum status status = settle(sender, reply);
    sherd_reply_free(reply);
    if (status == STATUS_OK) {
        done(batch);
        return true;
    }
    sender->late[sender->late_count++] = batch;
    return status == STATUS_BUSY;
}

bool sender_apply(struct sender *sender, uint64_t token, const struct slice *words, size_t count)
{
    uint64_t until_ms = clock_now_ms() + GIVE_UP_MS;
    for (;;) {
        const struct backup_shard *shard = backup_cluster_find(sender->cluster, token);
        struct sherd_reply *reply = NULL;
        if (connected(sender, shard->node) && send_apply(sender, shard, words, count) == 0) {
            reply = sherd_receive(sender->cluster->nodes[shard->node].sherd);
        }
        enum status status = settle(sender, reply);
        sherd_reply_free(reply);
        if (status != STATUS_BUSY || clock_now_ms() >= until_ms) {
            return status == STATUS_OK;
        }
        sender->retries++;
        (void)poll(NULL, 0, PAUSE_MS);
        if (!backup_cluster_wait(sender->cluster, GIVE_UP_MS)) {
            memcpy(sender->error, sender->cluster->error, sizeof(sender->error));
            return false;
        }
    }
}

/* The rows up to the first that another shard owns. */
static struct slice first_part(struct sender *sender, struct slice rows, uint64_t *token)
{
    struct reader in = reader_of(rows);
    size_t len = 0;
    uint64_t last = 0;
    while (in.rest.len > 0) {
        struct slice key = reader_bytes(&in, UINT32_MAX);
        (void)reader_bytes(&in, UINT32_MAX);
        struct reader head = reader_of(key);
        uint64_t at = reader_u64_be(&head);
        if (len == 0) {
            *token = at;
            last = backup_cluster_find(sender->cluster, at)->last;
        } else if (at > last) {
            break;
        }
        len = rows.len - in.rest.len;
    }
    return slice_of(rows.data, len);
}

/* Nothing else is under way. What cannot be done after a minute fails: its shards may have been cut
 * anew after each try, so each try cuts the rows anew. */
static bool send_late(struct sender *sender, const struct sender_batch *batch)
{
    struct slice rest = buf_slice(&batch->rows);
    while (rest.len > 0) {
        uint64_t until_ms = clock_now_ms() + GIVE_UP_MS;
        enum status status = STATUS_BUSY;
        size_t len = 0;
        while (status == STATUS_BUSY && clock_now_ms() < until_ms) {
            uint64_t token = 0;
            struct slice words[4];
            char number[NUMBER_SIZE];
            struct slice part = first_part(sender, rest, &token);
            size_t count = adopt_words(part, batch->version, number, words);
            const struct backup_shard *shard = backup_cluster_find(sender->cluster, token);
            struct sherd_reply *reply = NULL;
            if (connected(sender, shard->node) && send_apply(sender, shard, words, count) == 0) {
                reply = sherd_receive(sender->cluster->nodes[shard->node].sherd);
            }
            status = settle(sender, reply);
            sherd_reply_free(reply);
            len = part.len;
            if (status == STATUS_BUSY) {
                sender->retries++;
                (void)poll(NULL, 0, PAUSE_MS);
                (void)backup_cluster_wait(sender->cluster, GIVE_UP_MS);
            }
        }
        if (status != STATUS_OK) {
            return false;
        }
        rest = slice_of(rest.data + len, rest.len - len);
    }
    return true;
}

bool sender_drain(struct sender *sender)
{
    bool good = true;
    for (size_t i = 0; i < sender->cluster->node_count; i++) {
        while (sender->lanes[i].count > 0) {
            good = take_reply(sender, i) && good;
        }
    }
    if (good && sender->late_count > 0) {
        (void)poll(NULL, 0, PAUSE_MS);
        good = backup_cluster_wait(sender->cluster, GIVE_UP_MS);
        if (!good) {
            memcpy(sender->error, sender->cluster->error, sizeof(sender->error));
        }
    }
    while (good && sender->late_count > 0) {
        struct sender_batch *batch = sender->late[sender->late_count - 1];
        good = send_late(sender, batch);
        if (good) {
            sender->late_count--;
            done(batch);
        }
    }
    return good;
}

bool sender_put(struct sender *sender, struct sender_batch *batch)
{
    struct slice words[4];
    char number[NUMBER_SIZE];
    const struct backup_shard *shard = backup_cluster_find(sender->cluster, batch->token);
    struct sender_lane *lane = &sender->lanes[shard->node];
    bool good = true;
    ++*batch->pending;
    if (lane->count == SENDER_WINDOW) {
        good = take_reply(sender, shard->node);
    }
    size_t count = adopt_words(buf_slice(&batch->rows), batch->version, number, words);
    lane->batches[(lane->first + lane->count) % SENDER_WINDOW] = batch;
    lane->count++;
    if (connected(sender, shard->node)) {
        (void)send_apply(sender, shard, words, count); /* A fault is met when it is answered. */
    }
    return sender->late_count > 0 && good ? sender_drain(sender) : good;
}
