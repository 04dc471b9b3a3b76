#ifndef TESTS_SUPPORT_SCENE_H
#define TESTS_SUPPORT_SCENE_H

#include "server/control/agent.h"

/* One agent against a script. What it asks of its env is written down as text, a line per call, and
 * taken apart again by the tests. Time stands still but in scene_tick(). */

struct scene {
    struct agent *agent;
    struct agent_env env;
    struct agent_options options;
    struct buf log;
    uint64_t now_ms;
    uint64_t request; /* Id of the newest request. */
    uint64_t request_peer;
    struct identity saved;
    struct shard_map map;
};

extern const uint8_t scene_cluster_a[16];
extern const uint8_t scene_cluster_b[16];

/* A node of the given id (0: fresh) that was started with --join h:1,h:2 and is at h:9; options may
 * be changed before it begins. */
void scene_init(struct scene *scene, uint64_t node);
void scene_begin(struct scene *scene);
void scene_deinit(struct scene *scene);
/* Node 9 of cluster a comes back with the map of version 5 and its replica 19 of shard 2. */
void scene_restart(struct scene *scene);
/* Node 1 says that its start is known. */
void scene_confirm(struct scene *scene, int64_t version);

void scene_tick(struct scene *scene, uint64_t ms);
/* Lets time pass until the next request: the one before has run out by then. */
void scene_await_request(struct scene *scene);

/* How often the line is in the log. */
size_t scene_said(const struct scene *scene, const char *line);
/* True if a line begins with the word. */
bool scene_said_any(const struct scene *scene, const char *word);
void scene_forget(struct scene *scene);

/* A link is up, and that is who says HELLO; cluster NULL: it has none. */
enum status scene_link_up(struct scene *scene,
                          uint64_t peer,
                          uint64_t node,
                          const uint8_t *cluster);

/* Answers to the newest request. */
void scene_reply_joined(struct scene *scene, int64_t node, const uint8_t *cluster, int64_t version);
void scene_reply_error(struct scene *scene, const char *text);
void scene_reply_not_leader(struct scene *scene, uint64_t node);
void scene_reply_conf(struct scene *scene, uint64_t a, uint64_t b, uint64_t c);

/* Nodes 1 to 4 and 9 at h:<id>; the meta group and shard 3 on 1, 2, 3, shard 2 on 3, 4, 9. */
void scene_make_map(struct shard_map *map, const uint8_t *cluster, uint64_t version);
/* FRAME_MAP with scene->map. */
enum status scene_give_map(struct scene *scene);

#endif
