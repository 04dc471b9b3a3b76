#include "replication/raft/outbox.h"

#include <stdlib.h>

#include "replication/raft/instance.h"
#include "replication/raft/lane.h"

static void park(struct group *group, uint64_t node, uint64_t lsn, struct slice bytes)
{
    struct parked *parked = malloc(sizeof *parked + bytes.len);
    assert(parked != NULL);
    memcpy(parked + 1, bytes.data, bytes.len);
    *parked = (struct parked){
        .lsn = lsn,
        .node = node,
        .bytes = slice_of(parked + 1, bytes.len),
    };
    *group->parked_end = parked;
    group->parked_end = &parked->next;
    instance_mark_storing(group);
}

static size_t size_of(const struct message *message)
{
    if (message->kind == MESSAGE_APPEND && message->append.count > 0) {
        return message->append.entries.len;
    }
    return message->kind == MESSAGE_INSTALL ? message->install.manifest.len : 0;
}

void outbox_send(struct group *group, uint64_t node, uint64_t lsn, const struct message *message)
{
    struct host *host = group->host;
    if (node == host->options.node || node == 0) {
        return;
    }
    if (group->parked != NULL || lsn > host->durable) {
        buf_clear(&host->scratch);
        message_put(message, &host->scratch);
        park(group, node, lsn, buf_slice(&host->scratch));
        return;
    }
    struct lane *lane = lane_of_group(host, node, group->id);
    if (lane != NULL) {
        message_put(message, lane_batch(host, lane, size_of(message)));
    }
}

/* Puts entries from *at on into chunk until it is full. */
static void fill(struct buf *chunk, const struct raft_append_entries *append, unsigned *at)
{
    unsigned start = *at;
    for (; *at < append->n_entries; (*at)++) {
        const struct raft_entry *entry = &append->entries[*at];
        size_t size = message_entry_size(entry->buf.len);
        if (*at > start && chunk->len + size > GROUP_CHUNK_SIZE) {
            return;
        }
        struct message_entry out = {
            .term = entry->term,
            .type = (uint8_t)entry->type,
            .data = slice_of(entry->buf.base, entry->buf.len),
        };
        message_put_entry(&out, chunk);
    }
}

void outbox_send_append(struct group *group,
                        uint64_t node,
                        uint64_t lsn,
                        const struct message *message,
                        const struct raft_append_entries *append)
{
    struct message part = *message;
    struct buf *chunk = &group->host->chunk;
    unsigned at = 0;
    assert(message->kind == MESSAGE_APPEND);
    if (append->n_entries == 0) {
        outbox_send(group, node, lsn, message);
        return;
    }
    while (at < append->n_entries) {
        unsigned start = at;
        buf_clear(chunk);
        fill(chunk, append, &at);
        assert(at > start);
        part.append.count = at - start;
        part.append.entries = buf_slice(chunk);
        uint64_t last = part.append.prev_index + part.append.count;
        part.append.commit = append->leader_commit < last ? append->leader_commit : last;
        outbox_send(group, node, lsn, &part);
        part.append.prev_index = last;
        part.append.prev_term = append->entries[at - 1].term;
    }
}

void outbox_release(struct group *group)
{
    while (group->parked != NULL && group->parked->lsn <= group->host->durable) {
        struct parked *parked = group->parked;
        group->parked = parked->next;
        if (group->parked == NULL) {
            group->parked_end = &group->parked;
        }
        struct lane *lane = lane_of_group(group->host, parked->node, group->id);
        if (lane != NULL) {
            buf_append_slice(lane_batch(group->host, lane, parked->bytes.len), parked->bytes);
        }
        free(parked);
    }
}

void outbox_clear(struct group *group)
{
    while (group->parked != NULL) {
        struct parked *parked = group->parked;
        group->parked = parked->next;
        free(parked);
    }
    group->parked_end = &group->parked;
}
