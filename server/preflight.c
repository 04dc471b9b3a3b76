#include "server/preflight.h"

#include <stdio.h>

#include "common/base/assert.h"
#include "common/net/link.h"

struct asking {
    struct link *links[PREFLIGHT_SEEDS_MAX]; /* NULL: answered, or given up. */
    unsigned waiting;
    const char *foreign; /* Address of a node of another cluster. */
};

/* The argument of a link's handler. */
struct question {
    struct asking *asking;
    unsigned number;
    const char *address;
};

static void answered(struct question *question)
{
    struct asking *asking = question->asking;
    struct link *link = asking->links[question->number];
    assert(link != NULL && asking->waiting > 0);
    asking->links[question->number] = NULL;
    asking->waiting--;
    link_free(link);
}

static void on_up(void *arg, struct link *link, const struct frame_hello *hello)
{
    (void)link;
    (void)hello; /* It fits, else the link would not be up. */
    answered(arg);
}

static enum status on_frame(void *arg, struct link *link, const struct frame *frame)
{
    (void)arg;
    (void)link;
    (void)frame;
    return STATUS_OK;
}

static void on_down(void *arg, struct link *link, enum status reason)
{
    (void)arg;
    (void)link;
    (void)reason;
}

static void on_failed(void *arg, struct link *link, enum status reason, const char *text)
{
    (void)link;
    (void)text;
    struct question *question = arg;
    if (reason == STATUS_WRONG_CLUSTER) {
        question->asking->foreign = question->address;
    }
    answered(question);
}

static const struct link_handler handler = {
    .on_up = on_up, .on_frame = on_frame, .on_down = on_down, .on_failed = on_failed};

static bool is_own(const struct preflight *preflight, const char *address)
{
    return strcmp(address, preflight->own[0]) == 0 || strcmp(address, preflight->own[1]) == 0;
}

static void on_late(void *arg)
{
    bool *late = arg;
    *late = true;
}

enum status preflight_run(const struct preflight *preflight, char *text)
{
    assert(!identity_cluster_is_zero(preflight->identity->cluster));
    assert(preflight->seed_count <= PREFLIGHT_SEEDS_MAX);
    struct loop *loop = loop_new(0);
    struct asking asking = {0};
    struct question questions[PREFLIGHT_SEEDS_MAX];
    /* Not as a node: nobody shall take this for the node's start. */
    struct frame_hello hello = {.version = FRAME_VERSION, .role = FRAME_ROLE_ADMIN};
    memcpy(hello.cluster, preflight->identity->cluster, sizeof(hello.cluster));
    for (unsigned i = 0; i < preflight->seed_count; i++) {
        if (is_own(preflight, preflight->seeds[i])) {
            continue;
        }
        questions[i] =
            (struct question){.asking = &asking, .number = i, .address = preflight->seeds[i]};
        struct link_options options = {
            .hello = &hello, .handler = &handler, .arg = &questions[i], .seed = i + 1};
        asking.waiting++;
        asking.links[i] = link_dial(loop, preflight->seeds[i], &options);
    }
    bool late = false;
    struct timer timer;
    loop_timer_init(&timer);
    loop_timer_start(loop, &timer, PREFLIGHT_MS, 0, on_late, &late);
    while (asking.waiting > 0 && asking.foreign == NULL && !late) {
        loop_step(loop, PREFLIGHT_MS);
    }
    loop_timer_stop(&timer);
    for (unsigned i = 0; i < preflight->seed_count; i++) {
        if (asking.links[i] != NULL) {
            link_free(asking.links[i]);
        }
    }
    loop_free(loop);
    if (asking.foreign == NULL) {
        return STATUS_OK;
    }
    (void)snprintf(text, IDENTITY_TEXT_SIZE_MAX,
                   "the data directory belongs to another cluster than the node at %.64s: give "
                   "--join an address of its own cluster, or --data an empty directory",
                   asking.foreign);
    return STATUS_WRONG_CLUSTER;
}
