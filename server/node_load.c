#include "server/node_load.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"

enum { REPORT_SIZE_MAX = 256 << 20 };

struct node_load_desk {
    struct node_load_options options;
    uint64_t began_ms;
    struct worker_load **loops; /* The last of each; NULL: none yet. */
    struct buf report;
    struct load_table table;
    uint64_t leading_ms;
};

struct node_load_desk *node_load_new(const struct node_load_options *options)
{
    struct node_load_desk *desk = calloc(1, sizeof(*desk));
    assert(desk != NULL && options->loops > 0);
    desk->options = *options;
    desk->began_ms = clock_now_ms();
    desk->loops = calloc(options->loops, sizeof(struct worker_load *));
    assert(desk->loops != NULL);
    buf_init(&desk->report, REPORT_SIZE_MAX);
    load_table_init(&desk->table);
    return desk;
}

void node_load_free(struct node_load_desk *desk)
{
    for (unsigned loop = 0; loop < desk->options.loops; loop++) {
        free(desk->loops[loop]);
    }
    free(desk->loops);
    buf_deinit(&desk->report);
    load_table_deinit(&desk->table);
    free(desk);
}

void node_load_measured(struct node_load_desk *desk, struct worker_load *load)
{
    assert(load->loop < desk->options.loops);
    free(desk->loops[load->loop]);
    desk->loops[load->loop] = load;
}

static void make_report(struct node_load_desk *desk, uint64_t disk_free, uint64_t now_ms)
{
    struct node_load head = {.node = desk->options.node,
                             .incarnation = desk->options.incarnation,
                             .up_ms = now_ms - desk->began_ms,
                             .loops = desk->options.loops,
                             .disk_free = disk_free};
    uint32_t count = 0;
    for (unsigned loop = 0; loop < desk->options.loops; loop++) {
        const struct worker_load *load = desk->loops[loop];
        if (load != NULL) {
            head.cpu += load->cpu;
            head.busiest = load->cpu > head.busiest ? load->cpu : head.busiest;
            head.ops += load->ops;
            head.replicas += load->replicas;
            count += (uint32_t)load->count;
        }
    }
    buf_clear(&desk->report);
    load_report_begin(&head, count, &desk->report);
    for (unsigned loop = 0; loop < desk->options.loops; loop++) {
        const struct worker_load *load = desk->loops[loop];
        for (size_t i = 0; load != NULL && i < load->count; i++) {
            shard_load_encode(&load->shards[i], &desk->report);
        }
    }
}

static void lead(struct node_load_desk *desk, bool leads, uint64_t now_ms)
{
    if (leads == (desk->leading_ms != 0)) {
        return;
    }
    load_table_clear(&desk->table);
    desk->leading_ms = leads ? now_ms : 0;
}

void node_load_tick(struct node_load_desk *desk,
                    uint64_t leader,
                    struct buf *out,
                    uint64_t disk_free,
                    uint64_t now_ms)
{
    bool leads = leader == desk->options.node;
    lead(desk, leads, now_ms);
    if (!leads && out == NULL) {
        return;
    }
    make_report(desk, disk_free, now_ms);
    if (!leads) {
        size_t offset = frame_begin(out, FRAME_LOAD, 0);
        buf_append_slice(out, buf_slice(&desk->report));
        frame_end(out, offset);
        return;
    }
    enum status status = load_table_take(&desk->table, buf_slice(&desk->report), now_ms);
    assert(status == STATUS_OK);
    load_table_tick(&desk->table, now_ms);
}

enum status node_load_receive(struct node_load_desk *desk, struct slice report)
{
    if (desk->leading_ms == 0) {
        struct load_report opened;
        return load_report_open(report, &opened); /* The sender hears of the new leader soon. */
    }
    return load_table_take(&desk->table, report, clock_now_ms());
}

const struct load_table *node_load_table(const struct node_load_desk *desk)
{
    return &desk->table;
}

uint64_t node_load_leading_ms(const struct node_load_desk *desk)
{
    return desk->leading_ms;
}
