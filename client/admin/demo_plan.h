#ifndef CLIENT_ADMIN_DEMO_PLAN_H
#define CLIENT_ADMIN_DEMO_PLAN_H

#include "client/admin/child.h"
#include "client/admin/verb.h"

/* What a local cluster is made of: its folder, its processes, their ports and command lines. The
 * file DIR/ports remembers the ports, one line per process: "node-1 PORT HTTP-PORT". Thread: one.
 */

enum {
    DEMO_NODES_MAX = 32,
    DEMO_ROUTERS_MAX = 16,
    DEMO_MEMBERS_MAX = DEMO_NODES_MAX + DEMO_ROUTERS_MAX,
    DEMO_WORDS_MAX = 24,
};

struct demo_member {
    struct child child;
    bool is_router;
    uint16_t port;
    uint16_t http_port;
};

struct demo_plan {
    char dir[CHILD_PATH_SIZE / 2]; /* Absolute. */
    char bin[CHILD_PATH_SIZE / 2]; /* Where the programs are. */
    const char *ready_file;        /* NULL: none is wanted. */
    size_t nodes;
    size_t routers;
    unsigned shards;
    unsigned replicas;
    unsigned loops;                               /* 0: each program decides. */
    bool fresh;                                   /* The folder held no cluster. */
    struct demo_member members[DEMO_MEMBERS_MAX]; /* The nodes, then the routers. */
};

/* From the command line and the folder, which is made. On failure one line was printed, and nothing
 * that was in the folder has changed. */
enum verb_exit demo_plan_make(const struct verb_call *call, struct demo_plan *plan);
/* Chooses ports where none are known or somebody else has them; writes DIR/ports. The folder is
 * ours (locked). Failure as above: a router's port is taken. */
enum verb_exit demo_plan_take_ports(const struct verb_call *call, struct demo_plan *plan);

/* The command line of a member. */
struct demo_words {
    const char *argv[DEMO_WORDS_MAX]; /* Ends with NULL; points into text. */
    size_t argc;
    struct buf text;
};
void demo_plan_words(const struct demo_plan *plan, size_t index, struct demo_words *words);
void demo_plan_words_free(struct demo_words *words);

static inline size_t demo_plan_members(const struct demo_plan *plan)
{
    return plan->nodes + plan->routers;
}

#endif
