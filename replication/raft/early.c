#include "replication/raft/early.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "replication/raft/inbox.h"
#include "replication/raft/lane.h"

enum { EARLY_COUNT_MAX = 512, EARLY_SIZE_MAX = 4 << 20, EARLY_MESSAGE_SIZE_MAX = 64 << 10 };

struct early_message {
    struct list link;
    uint64_t group;
    uint64_t node;
    unsigned loop;
    uint64_t until_ms;
    size_t len;
    uint8_t bytes[];
};

void early_init(struct early *early)
{
    *early = (struct early){0};
    list_init(&early->messages);
}

static void drop(struct early *early, struct early_message *message)
{
    assert(early->count > 0 && early->size >= message->len);
    list_remove(&message->link);
    early->count--;
    early->size -= message->len;
    free(message);
}

static struct early_message *first(const struct early *early)
{
    return list_empty(&early->messages)
               ? NULL
               : list_entry(early->messages.next, struct early_message, link);
}

void early_free(struct early *early)
{
    for (struct early_message *message; (message = first(early)) != NULL;) {
        drop(early, message);
    }
}

void early_keep(struct host *host,
                const struct lane *lane,
                const struct message *message,
                struct slice bytes)
{
    struct early *early = &host->early;
    bool worth = message->kind == MESSAGE_VOTE || message->kind == MESSAGE_APPEND;
    if (!worth || bytes.len > EARLY_MESSAGE_SIZE_MAX) {
        return;
    }
    struct early_message *copy = malloc(sizeof *copy + bytes.len);
    assert(copy != NULL);
    copy->group = message->group;
    copy->node = lane->peer->node;
    copy->loop = lane->loop;
    copy->until_ms = clock_now_ms() + host->options.election_ms;
    copy->len = bytes.len;
    memcpy(copy->bytes, bytes.data, bytes.len);
    list_push_back(&early->messages, &copy->link);
    early->count++;
    early->size += copy->len;
    while (early->count > EARLY_COUNT_MAX || early->size > EARLY_SIZE_MAX) {
        drop(early, first(early));
    }
}

void early_deliver(struct host *host, struct group *group)
{
    struct early *early = &host->early;
    struct list *next = NULL;
    for (struct list *at = early->messages.next; at != &early->messages; at = next) {
        struct early_message *kept = list_entry(at, struct early_message, link);
        next = at->next;
        if (kept->group != group->id) {
            continue;
        }
        struct reader in = reader_of(slice_of(kept->bytes, kept->len));
        struct message message;
        bool whole = message_next(&in, &message);
        assert(whole);
        struct lane *lane = lane_get(lane_peer(host, kept->node), kept->loop);
        lane->used = true;
        inbox_deliver(group, &message, lane);
        drop(early, kept);
    }
}

void early_tick(struct host *host, uint64_t now_ms)
{
    struct early_message *oldest;
    while ((oldest = first(&host->early)) != NULL && oldest->until_ms < now_ms) {
        drop(&host->early, oldest);
    }
}
