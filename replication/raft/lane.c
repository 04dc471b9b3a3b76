#include "replication/raft/lane.h"

#include <stdlib.h>

#include "common/base/clock.h"

enum { LANE_BATCH_SIZE = 4 << 20, LANE_BATCH_SIZE_MAX = 256 << 20 };

struct peer *lane_peer(struct host *host, uint64_t node)
{
    struct peer *peer = map_get(&host->peers, node);
    if (peer == NULL) {
        peer = calloc(1, sizeof *peer);
        assert(peer != NULL);
        peer->node = node;
        map_put(&host->peers, node, peer);
    }
    assert(peer->node == node);
    return peer;
}

void lane_free_peers(struct host *host)
{
    size_t at = 0;
    struct peer *peer;
    while ((peer = map_next(&host->peers, &at)) != NULL) {
        for (unsigned loop = 0; loop < peer->loops; loop++) {
            if (peer->lanes[loop] != NULL) {
                buf_deinit(&peer->lanes[loop]->out);
                free(peer->lanes[loop]);
            }
        }
        free(peer);
    }
    map_deinit(&host->peers);
}

struct lane *lane_get(struct peer *peer, unsigned loop)
{
    assert(loop < MESSAGE_LOOPS_MAX);
    if (peer->lanes[loop] == NULL) {
        struct lane *lane = calloc(1, sizeof *lane);
        assert(lane != NULL);
        lane->peer = peer;
        lane->loop = loop;
        buf_init(&lane->out, LANE_BATCH_SIZE_MAX);
        list_init(&lane->sleepers);
        peer->lanes[loop] = lane;
        peer->loops = loop + 1 > peer->loops ? loop + 1 : peer->loops;
    }
    return peer->lanes[loop];
}

struct lane *lane_of_group(struct host *host, uint64_t node, uint64_t group)
{
    unsigned loops = host->env.loops(host->env.ctx, node);
    if (loops == 0 || loops > MESSAGE_LOOPS_MAX) {
        return NULL;
    }
    return lane_get(lane_peer(host, node), (unsigned)(group % loops));
}

static void flush(struct host *host, struct lane *lane)
{
    assert(lane->out.len >= MESSAGE_BATCH_HEADER_SIZE);
    host->env.send(host->env.ctx, lane->peer->node, lane->loop, buf_slice(&lane->out));
    host->stats.batches_sent++;
    lane->sent_ms = clock_now_ms();
    if (lane->out.size > LANE_BATCH_SIZE) {
        buf_deinit(&lane->out);
        buf_init(&lane->out, LANE_BATCH_SIZE_MAX);
    }
    buf_clear(&lane->out);
}

static void begin(struct host *host, struct lane *lane)
{
    struct message_header header = {
        .loop = host->options.loop,
        .incarnation = host->options.incarnation,
        .seq = ++lane->seq_out,
    };
    assert(lane->out.len == 0);
    message_put_header(&header, &lane->out);
}

struct buf *lane_batch(struct host *host, struct lane *lane, size_t len)
{
    if (lane->out.len > 0 && lane->out.len + len > LANE_BATCH_SIZE) {
        flush(host, lane);
    }
    if (lane->out.len == 0) {
        begin(host, lane);
    }
    lane->used = true;
    host->stats.messages_sent++;
    return &lane->out;
}

static void each_lane(struct host *host,
                      void (*visit)(struct host *, struct lane *, uint64_t),
                      uint64_t arg)
{
    size_t at = 0;
    struct peer *peer;
    while ((peer = map_next(&host->peers, &at)) != NULL) {
        for (unsigned loop = 0; loop < peer->loops; loop++) {
            if (peer->lanes[loop] != NULL) {
                visit(host, peer->lanes[loop], arg);
            }
        }
    }
}

static void flush_one(struct host *host, struct lane *lane, uint64_t now_ms)
{
    if (lane->out.len > 0) {
        flush(host, lane);
    }
    (void)now_ms;
}

static void ping_one(struct host *host, struct lane *lane, uint64_t now_ms)
{
    if (!lane->used || now_ms - lane->sent_ms < host->options.heartbeat_ms) {
        return;
    }
    if (lane->out.len == 0 && host->env.loops(host->env.ctx, lane->peer->node) > lane->loop) {
        begin(host, lane);
    }
}

void lane_flush(struct host *host)
{
    each_lane(host, flush_one, 0);
}

void lane_ping(struct host *host, uint64_t now_ms)
{
    each_lane(host, ping_one, now_ms);
}
