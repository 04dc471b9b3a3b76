#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "server/server_private.h"

/* Unsent output to another node: more is not queued behind it. Raft and transfers send again. */
enum { LINK_FRAMES_FULL = 32 << 20 };

struct peer *server_peer(struct lane *lane, uint64_t id)
{
    return map_get(&lane->peers, id);
}

static void on_peer_up(void *arg, struct link *link, const struct frame_hello *hello)
{
    struct peer *peer = arg;
    struct lane *lane = peer->lane;
    peer->up = true; /* The agent may speak at once. */
    peer->loops = hello->loops;
    if (lane->index == 0) {
        uint64_t id = peer->id;
        enum status status = node_link_up(lane->server->node, id, hello);
        struct peer *now = server_peer(lane, id);
        if (now == NULL || now->link != link) {
            return; /* The agent wants this link no more: it is gone, and so is peer. */
        }
        if (status != STATUS_OK) {
            peer->up = false;
            link_reset(link, status);
            return;
        }
    }
    log_debug("peer.up", "loop=%u node=%llu", lane->index, (unsigned long long)hello->node);
    if (!agent_is_seed(peer->id) && lane->worker != NULL) {
        worker_node_changed(lane->worker, peer->id, true);
    }
}

static enum status on_peer_frame(void *arg, struct link *link, const struct frame *frame)
{
    (void)link;
    struct peer *peer = arg;
    struct lane *lane = peer->lane;
    if (lane->closing) {
        return STATUS_CLOSED;
    }
    return lane->index == 0 ? node_frame(lane->server->node, frame) : STATUS_OK;
}

static void on_peer_down(void *arg, struct link *link, enum status reason)
{
    (void)link;
    struct peer *peer = arg;
    struct lane *lane = peer->lane;
    if (!peer->up) {
        return;
    }
    peer->up = false;
    peer->loops = 0;
    log_debug("peer.down", "loop=%u peer=%llu reason=\"%s\"", lane->index,
              (unsigned long long)peer->id, status_text(reason));
    if (lane->index == 0) {
        node_link_down(lane->server->node, peer->id);
    }
    if (!agent_is_seed(peer->id) && lane->worker != NULL) {
        worker_node_changed(lane->worker, peer->id, false);
    }
}

static void on_peer_failed(void *arg, struct link *link, enum status reason, const char *text)
{
    (void)link;
    struct peer *peer = arg;
    if (peer->lane->index != 0) {
        return;
    }
    enum status_class class = status_class(reason);
    if (class == STATUS_CLASS_CALLER_FAULT && reason != STATUS_BAD_ARGUMENT) {
        node_link_refused(peer->lane->server->node, peer->id, reason, text);
    }
}

static const struct link_handler peer_handler = {.on_up = on_peer_up,
                                                 .on_frame = on_peer_frame,
                                                 .on_down = on_peer_down,
                                                 .on_failed = on_peer_failed};

void server_peer_connect(struct lane *lane, uint64_t id, const char *address)
{
    struct peer *peer = server_peer(lane, id);
    if (peer != NULL) {
        link_set_address(peer->link, address);
        return;
    }
    peer = calloc(1, sizeof(*peer));
    assert(peer != NULL);
    peer->lane = lane;
    peer->id = id;
    struct link_options options = {.hello = &lane->server->hello,
                                   .handler = &peer_handler,
                                   .arg = peer,
                                   .output_max = LINK_FRAMES_FULL,
                                   .seed = id * 31 + lane->index + 1};
    struct peer *before = map_put(&lane->peers, id, peer);
    assert(before == NULL);
    peer->link = link_dial(lane->loop, address, &options);
}

void server_peer_disconnect(struct lane *lane, uint64_t id)
{
    struct peer *peer = map_remove(&lane->peers, id);
    if (peer == NULL) {
        return;
    }
    bool up = peer->up;
    peer->up = false;
    link_free(peer->link);
    if (up && !agent_is_seed(id) && lane->worker != NULL) {
        worker_node_changed(lane->worker, id, false);
    }
    free(peer);
}

void server_peer_follow(struct lane *lane, const struct shard_map *map)
{
    uint64_t self = node_identity(lane->server->node)->node;
    for (size_t i = 0; i < map->node_count; i++) {
        const struct node_desc *node = &map->nodes[i];
        if (node->id != self && node->state != NODE_GONE && node->address[0] != '\0') {
            server_peer_connect(lane, node->id, node->address);
        }
    }
    size_t at = 0;
    for (struct peer *peer; (peer = map_next(&lane->peers, &at)) != NULL;) {
        const struct node_desc *node = shard_map_node(map, peer->id);
        if (node == NULL || node->state == NODE_GONE || node->address[0] == '\0') {
            server_peer_disconnect(lane, peer->id);
        }
    }
}

void server_peer_free_all(struct lane *lane)
{
    size_t at = 0;
    for (struct peer *peer; (peer = map_next(&lane->peers, &at)) != NULL;) {
        server_peer_disconnect(lane, peer->id);
    }
    map_deinit(&lane->peers);
}

struct buf *server_out_node(void *ctx, uint64_t node)
{
    struct lane *lane = ctx;
    struct peer *peer = server_peer(lane, node);
    if (peer == NULL || !peer->up || link_full(peer->link)) {
        return NULL;
    }
    return link_out(peer->link);
}

unsigned server_node_loops(void *ctx, uint64_t node)
{
    struct lane *lane = ctx;
    struct peer *peer = server_peer(lane, node);
    return peer == NULL || !peer->up ? 0 : peer->loops;
}

struct buf *server_out_link(void *ctx, uint64_t number)
{
    struct lane *lane = ctx;
    struct visitor *visitor = map_get(&lane->visitors, number);
    return visitor == NULL || !link_is_up(visitor->link) ? NULL : link_out(visitor->link);
}

size_t server_link_pending(void *ctx, uint64_t number)
{
    struct lane *lane = ctx;
    struct visitor *visitor = map_get(&lane->visitors, number);
    return visitor == NULL ? 0 : link_pending(visitor->link);
}

static void on_visitor_up(void *arg, struct link *link, const struct frame_hello *hello)
{
    struct lane *lane = arg;
    struct visitor *visitor = calloc(1, sizeof(*visitor));
    assert(visitor != NULL);
    visitor->lane = lane;
    visitor->number = ++lane->visitor_next;
    visitor->node = hello->role == FRAME_ROLE_NODE ? hello->node : 0;
    visitor->link = link;
    struct visitor *before = map_put(&lane->visitors, visitor->number, visitor);
    assert(before == NULL);
    link_set_arg(link, visitor);
}

struct node_mail {
    struct mail mail;
    struct lane *lane; /* Of loop 0. */
    enum frame_type type;
    size_t len;
    uint8_t bytes[];
};

static void on_node_mail(struct mail *mail)
{
    struct node_mail *told = list_entry(mail, struct node_mail, mail);
    struct frame frame = {.type = told->type, .body = slice_of(told->bytes, told->len)};
    if (!told->lane->closing && node_frame(told->lane->server->node, &frame) != STATUS_OK) {
        log_warn("frame.malformed", "type=%d action=\"it was dropped\"", (int)told->type);
    }
    free(told);
}

/* What other nodes tell this one, which lives on loop 0: a node of the meta group its map, as this
 * one may not know where to ask; every node its load, if this one leads the meta group. */
static enum status take_for_node(struct lane *lane, const struct frame *frame)
{
    if (lane->index == 0) {
        return node_frame(lane->server->node, frame);
    }
    struct node_mail *told = malloc(sizeof(*told) + frame->body.len);
    assert(told != NULL);
    told->mail.run = on_node_mail;
    told->lane = &lane->server->lanes[0];
    told->type = frame->type;
    told->len = frame->body.len;
    memcpy(told->bytes, frame->body.data, frame->body.len);
    mailbox_post(told->lane->loop, &told->mail);
    return STATUS_OK;
}

static enum status on_visitor_frame(void *arg, struct link *link, const struct frame *frame)
{
    struct visitor *visitor = arg;
    struct worker *worker = visitor->lane->worker;
    if (worker == NULL || visitor->lane->closing) {
        return STATUS_CLOSED; /* Not part of a cluster yet: whoever asks connects again later. */
    }
    if ((frame->type == FRAME_MAP || frame->type == FRAME_LOAD) && visitor->node != 0) {
        return take_for_node(visitor->lane, frame);
    }
    /* A reader that does not read: what it asks for waits in its socket. */
    if (link_full(link)) {
        link_pause(link);
        link_await_drained(link);
    }
    return worker_frame(worker, visitor->number, visitor->node, frame);
}

static void on_visitor_down(void *arg, struct link *link, enum status reason)
{
    (void)link;
    (void)reason;
    struct visitor *visitor = arg;
    struct lane *lane = visitor->lane;
    (void)map_remove(&lane->visitors, visitor->number);
    if (lane->worker != NULL && !lane->closing) {
        worker_link_down(lane->worker, visitor->number);
    }
    free(visitor);
}

static void on_visitor_drained(void *arg, struct link *link)
{
    (void)arg;
    link_resume(link);
}

const struct link_handler server_visitor_handler = {.on_up = on_visitor_up,
                                                    .on_frame = on_visitor_frame,
                                                    .on_down = on_visitor_down,
                                                    .on_drained = on_visitor_drained};
