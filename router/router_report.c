#include "router/router_report.h"

#include <inttypes.h>

#include "common/base/assert.h"
#include "common/cluster/cluster_view.h"
#include "common/proto/resp.h"

enum { REPLY_SIZE_MAX = 1 << 28 };

static const char *const end_names[5] = {"unknown", "timeout", "clusterdown", "overloaded",
                                         "crossslot"};

void router_report_open(struct router_loop *part)
{
    for (int i = 0; i < STATUS_COUNT; i++) {
        const char *text = status_text((enum status)i);
        part->answer_labels[i] = metrics_label(part->metrics, METRIC_shard_answers_total, text);
    }
    for (int i = 0; i < 5; i++) {
        part->end_labels[i] = metrics_label(part->metrics, METRIC_shard_ends_total, end_names[i]);
    }
}

static void report(struct router_loop *part, enum metric_id id, uint64_t value)
{
    metrics_set(part->metrics, id, (int64_t)value);
}

static void report_cluster(struct router_loop *part, const struct core_stats *stats)
{
    /* Every loop sees the same cluster, and parts are added up. */
    if (part->index != 0) {
        return;
    }
    atomic_store(&part->router->replicas, core_map(part->core)->replicas);
    report(part, METRIC_maps_adopted_total, stats->maps);
    report(part, METRIC_map_patches_total, stats->patches);
    report(part, METRIC_map_version, core_map(part->core)->version);
    report(part, METRIC_cluster_nodes, stats->nodes);
    report(part, METRIC_cluster_shards, stats->shards);
    report(part, METRIC_cluster_shards_led, stats->shards_led);
    report(part, METRIC_cluster_shards_short, stats->shards_short);
}

void router_report_counters(struct router_loop *part)
{
    struct core_stats stats;
    core_stats(part->core, &stats);
    report(part, METRIC_shard_commands_total, stats.parts);
    report(part, METRIC_shard_gathers_total, stats.gathers);
    report(part, METRIC_shard_tries_total, stats.frames);
    report(part, METRIC_shard_retries_total, stats.retries);
    report(part, METRIC_shard_redirects_total, stats.redirects);
    report(part, METRIC_shard_probes_total, stats.probes);
    report(part, METRIC_shard_silences_total, stats.silences);
    report(part, METRIC_replica_reads_sent_total, stats.replica_reads);
    report(part, METRIC_replica_reads_forwarded_total, stats.replica_forwarded);
    report(part, METRIC_replica_reads_led_total, stats.replica_at_leader);
    report(part, METRIC_shard_moves_total, stats.moved);
    report(part, METRIC_shard_disowned_total, stats.disowned);
    report(part, METRIC_shard_queue, stats.queued);
    report(part, METRIC_shard_queue_bytes, stats.queued_size);
    report(part, METRIC_shard_parked, stats.parked);
    report(part, METRIC_node_links, stats.nodes_up);
    report_cluster(part, &stats);
    for (int i = 0; i < STATUS_COUNT; i++) {
        metrics_set_label(part->metrics, METRIC_shard_answers_total, part->answer_labels[i],
                          (int64_t)stats.statuses[i]);
    }
    const uint64_t ends[5] = {stats.unknown, stats.timeouts, stats.clusterdown, stats.overloads,
                              stats.crossslots};
    for (int i = 0; i < 5; i++) {
        metrics_set_label(part->metrics, METRIC_shard_ends_total, part->end_labels[i],
                          (int64_t)ends[i]);
    }
    atomic_store(&part->ready, stats.shards > 0 && stats.shards_led == stats.shards);
}

bool router_report_ready(const struct router *router)
{
    for (unsigned i = 0; i < router->loop_count; i++) {
        if (!atomic_load(&router->loops[i].ready)) {
            return false;
        }
    }
    return true;
}

void router_report_info(struct router_loop *part, struct buf *out)
{
    router_report_counters(part);
    struct core_stats stats;
    core_stats(part->core, &stats);
    const struct metrics *metrics = part->router->metrics;
    const struct {
        const char *name;
        uint64_t value;
    } lines[] = {
        {"map_version", core_map(part->core)->version},
        {"nodes", stats.nodes},
        {"nodes_up", stats.nodes_up},
        {"shards", stats.shards},
        {"shards_led", stats.shards_led},
        {"shards_short", stats.shards_short},
        {"shard_commands", metrics_sum(metrics, METRIC_shard_commands_total)},
        {"shard_gathers", metrics_sum(metrics, METRIC_shard_gathers_total)},
        {"shard_tries", metrics_sum(metrics, METRIC_shard_tries_total)},
        {"shard_retries", metrics_sum(metrics, METRIC_shard_retries_total)},
        {"shard_redirects", metrics_sum(metrics, METRIC_shard_redirects_total)},
        {"shard_disowned", metrics_sum(metrics, METRIC_shard_disowned_total)},
        {"map_patches", metrics_sum(metrics, METRIC_map_patches_total)},
        {"shard_silences", metrics_sum(metrics, METRIC_shard_silences_total)},
        {"shard_queue", metrics_sum(metrics, METRIC_shard_queue)},
        {"shard_parked", metrics_sum(metrics, METRIC_shard_parked)},
        {"outcomes_unknown", stats.unknown},
        {"timeouts", stats.timeouts},
    };
    buf_append_text(out, "sherd_role:router\r\n");
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        buf_append_format(out, "sherd_%s:%" PRIu64 "\r\n", lines[i].name, lines[i].value);
    }
}

static bool view_leader(void *ctx, uint64_t shard, struct leader_hint *hint)
{
    const struct router_loop *part = ctx;
    return core_leader(part->core, shard, hint);
}

static bool view_node_up(void *ctx, uint64_t node)
{
    const struct router_loop *part = ctx;
    return core_node_up(part->core, node);
}

struct cluster_view router_report_view(struct router_loop *part)
{
    return (struct cluster_view){.map = core_map(part->core),
                                 .role = "router",
                                 .ctx = part,
                                 .leader = view_leader,
                                 .node_up = view_node_up};
}

void router_report_sherd(struct router_loop *part, struct request *request)
{
    if (request->args.argc == 2 && command_word(request->args.argv[1], "databases")) {
        router_loop_databases(part, request);
        return;
    }
    struct cluster_view view = router_report_view(part);
    struct buf reply;
    buf_init(&reply, REPLY_SIZE_MAX);
    bool known = cluster_view_answer(&view, &request->args, request->db, &reply);
    if (!known && request->args.argc >= 2 && request->args.argc <= ERRAND_ARGC_MAX) {
        router_loop_inquire(part, request);
        buf_deinit(&reply);
        return;
    }
    if (!known) {
        resp_write_error(&reply, "ERR wrong number of arguments for 'sherd' command");
    }
    request_finish(request, buf_slice(&reply));
    buf_deinit(&reply);
}

void router_report_http(void *arg, struct http_call *call, const struct http_request *request)
{
    struct router *router = arg;
    struct http_response *response = http_call_response(call);
    if (slice_equal(request->path, slice_str("/metrics"))) {
        response->status = 200;
        response->content_type = "text/plain; version=0.0.4; charset=utf-8";
        router_report_counters(&router->loops[0]);
        metrics_write(router->metrics, &response->body);
    } else if (slice_equal(request->path, slice_str("/healthz"))) {
        response->status = 200;
        buf_append_text(&response->body, "ok\n");
    } else if (slice_equal(request->path, slice_str("/readyz"))) {
        struct core_stats stats;
        core_stats(router->loops[0].core, &stats);
        bool ready = router_report_ready(router) && !atomic_load(&router->stopping);
        response->status = ready ? 200 : 503;
        buf_append_format(&response->body,
                          "%s\nmap_version %" PRIu64 "\nshards %" PRIu64 "\nshards_led %" PRIu64
                          "\nnodes %" PRIu64 "\nnodes_up %" PRIu64 "\n",
                          ready ? "ready" : "not ready", core_map(router->loops[0].core)->version,
                          stats.shards, stats.shards_led, stats.nodes, stats.nodes_up);
    }
    http_respond(call);
}
