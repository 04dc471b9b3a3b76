#include "router/backend.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "router/flow.h"

struct backend *backend_of(const struct core *core, uint64_t node)
{
    return node == 0 ? NULL : map_get(&core->by_node, node);
}

struct backend *backend_at(const struct core *core, unsigned link)
{
    return link < core->link_count ? core->links[link] : NULL;
}

bool backend_usable(const struct core *core, const struct backend *backend)
{
    if (backend == NULL || !backend->up) {
        return false;
    }
    return backend->suspect_ms == 0 || backend->suspect_ms + SUSPECT_MS <= core_now(core);
}

void backend_suspect(struct core *core, struct backend *backend)
{
    uint64_t now_ms = core_now(core);
    backend->suspect_ms = now_ms == 0 ? 1 : now_ms;
}

static unsigned free_link(struct core *core)
{
    for (size_t i = 0; i < core->link_count; i++) {
        if (core->links[i] == NULL) {
            return (unsigned)i;
        }
    }
    assert(core->link_count < CORE_LINKS_MAX);
    size_t count = core->link_count == 0 ? 8 : core->link_count * 2;
    core->links = realloc(core->links, count * sizeof(*core->links));
    assert(core->links != NULL);
    memset(core->links + core->link_count, 0, (count - core->link_count) * sizeof(*core->links));
    unsigned link = (unsigned)core->link_count;
    core->link_count = count;
    return link;
}

static struct backend *dial(struct core *core, const char *address)
{
    struct backend *backend = calloc(1, sizeof(*backend));
    assert(backend != NULL);
    backend->link = free_link(core);
    backend->address = strdup(address);
    assert(backend->address != NULL);
    core->links[backend->link] = backend;
    core->env.connect(core->env.ctx, backend->link, backend->address);
    return backend;
}

static void discard(struct core *core, struct backend *backend)
{
    core->env.disconnect(core->env.ctx, backend->link);
    if (backend->up) {
        backend_down(core, backend);
    }
    core->links[backend->link] = NULL;
    if (backend->node != 0 && backend_of(core, backend->node) == backend) {
        (void)map_remove(&core->by_node, backend->node);
    }
    free(backend->address);
    free(backend);
}

static struct backend *dialled(const struct core *core, const char *address)
{
    for (size_t i = 0; i < core->link_count; i++) {
        struct backend *backend = core->links[i];
        if (backend != NULL && strcmp(backend->address, address) == 0) {
            return backend;
        }
    }
    return NULL;
}

void backend_dial_seeds(struct core *core)
{
    bool wanted = core->nodes_up == 0;
    for (size_t i = 0; wanted && i < core->seed_count; i++) {
        if (dialled(core, core->seeds[i]) == NULL) {
            (void)dial(core, core->seeds[i]);
        }
    }
}

/* A seed that never said who it is serves nothing once the map's nodes answer. */
static void drop_seeds(struct core *core)
{
    for (size_t i = 0; i < core->link_count; i++) {
        struct backend *backend = core->links[i];
        if (backend != NULL && backend->node == 0 && core->nodes_up > 0 &&
            core->map.shard_count > 0) {
            discard(core, backend);
        }
    }
}

static void redial(struct core *core, struct backend *backend, const char *address)
{
    core->env.disconnect(core->env.ctx, backend->link);
    if (backend->up) {
        backend_down(core, backend);
    }
    free(backend->address);
    backend->address = strdup(address);
    assert(backend->address != NULL);
    core->env.connect(core->env.ctx, backend->link, backend->address);
}

static void follow(struct core *core, const struct node_desc *node)
{
    struct backend *backend = backend_of(core, node->id);
    if (backend == NULL) {
        backend = dial(core, node->address);
        backend->node = node->id;
        (void)map_put(&core->by_node, node->id, backend);
    } else if (backend->map_address[0] != '\0' &&
               strcmp(backend->map_address, node->address) != 0 &&
               strcmp(backend->address, node->address) != 0) {
        redial(core, backend, node->address);
    }
    memcpy(backend->map_address, node->address, sizeof(backend->map_address));
    backend->wanted = true;
}

void backend_follow_map(struct core *core)
{
    for (size_t i = 0; i < core->link_count; i++) {
        if (core->links[i] != NULL) {
            core->links[i]->wanted = core->links[i]->node == 0;
        }
    }
    for (size_t i = 0; i < core->map.node_count; i++) {
        const struct node_desc *node = &core->map.nodes[i];
        if (node->state != NODE_GONE && node->address[0] != '\0') {
            follow(core, node);
        }
    }
}

void backend_drop_unwanted(struct core *core)
{
    for (size_t i = 0; i < core->link_count; i++) {
        struct backend *backend = core->links[i];
        if (backend != NULL && !backend->wanted) {
            log_info("router.node_gone", "node=%" PRIu64, backend->node);
            discard(core, backend);
        }
    }
    drop_seeds(core);
}

static bool same_cluster(const struct core *core, const struct frame_hello *hello)
{
    static const uint8_t none[16];
    return memcmp(core->map.cluster, none, sizeof(none)) == 0 ||
           memcmp(hello->cluster, none, sizeof(none)) == 0 ||
           memcmp(core->map.cluster, hello->cluster, sizeof(none)) == 0;
}

/* A seed has said which node it is. False: there is a better link to that already. */
static bool adopt(struct core *core, struct backend *seed, uint64_t node)
{
    struct backend *other = backend_of(core, node);
    if (other != NULL) {
        if (other->up || strcmp(other->address, seed->address) == 0) {
            return false;
        }
        /* The map's address does not answer, the seed's does: the node's link goes there. The
         * old object stays, since lanes point to it. */
        redial(core, other, seed->address);
        return false;
    }
    seed->node = node;
    seed->wanted = true;
    (void)map_put(&core->by_node, node, seed);
    return true;
}

struct backend *backend_up(struct core *core, unsigned link, const struct frame_hello *hello)
{
    struct backend *backend = backend_at(core, link);
    assert(backend != NULL && !backend->up);
    const char *why = NULL;
    if (hello->role != FRAME_ROLE_NODE) {
        why = "not a node";
    } else if (!same_cluster(core, hello)) {
        why = "node of another cluster";
    } else if (backend->node != 0 && hello->node != 0 && backend->node != hello->node) {
        why = "another node than the map says";
    }
    if (why != NULL) {
        log_warn("router.link_refused", "address=%s node=%" PRIu64 " reason=\"%s\"",
                 backend->address, hello->node, why);
        return NULL;
    }
    if (backend->node == 0 && hello->node != 0 && !adopt(core, backend, hello->node)) {
        discard(core, backend);
        return NULL;
    }
    backend->up = true;
    backend->ups++;
    backend->suspect_ms = 0;
    backend->subscribe_ms = 0;
    core->nodes_up++;
    log_info("router.link_up", "address=%s node=%" PRIu64, backend->address, backend->node);
    backend_subscribe(core, backend);
    drop_seeds(core);
    return backend_at(core, link);
}

void backend_down(struct core *core, struct backend *backend)
{
    assert(backend->up && core->nodes_up > 0);
    backend->up = false;
    core->nodes_up--;
    log_info("router.link_down", "address=%s node=%" PRIu64, backend->address, backend->node);
    flow_lost(core, backend);
}

void backend_subscribe(struct core *core, struct backend *backend)
{
    uint64_t now_ms = core_now(core);
    bool soon = backend->subscribe_ms != 0 && backend->subscribe_ms + SUBSCRIBE_MS > now_ms;
    struct buf *out = !backend->up || soon ? NULL : core->env.send(core->env.ctx, backend->link);
    backend->subscribe_due = backend->up && out == NULL;
    if (out == NULL) {
        core_wake_at(core, now_ms + SUBSCRIBE_MS);
        return;
    }
    backend->subscribe_ms = now_ms;
    size_t offset = frame_begin(out, FRAME_SUBSCRIBE, 0);
    buf_append_u64(out, core->map.version);
    frame_end(out, offset);
}

void backend_tick(struct core *core)
{
    for (size_t i = 0; i < core->link_count; i++) {
        struct backend *backend = core->links[i];
        if (backend != NULL && backend->subscribe_due) {
            backend_subscribe(core, backend);
        }
    }
}

void backend_free_all(struct core *core)
{
    for (size_t i = 0; i < core->link_count; i++) {
        if (core->links[i] != NULL) {
            discard(core, core->links[i]);
        }
    }
    free(core->links);
    core->links = NULL;
    core->link_count = 0;
}
