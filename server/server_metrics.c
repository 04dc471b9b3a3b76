#include "common/base/assert.h"
#include "server/server_private.h"

static void respond_metrics(struct server *server, struct http_response *response)
{
    response->status = 200;
    response->content_type = "text/plain; version=0.0.4; charset=utf-8";
    metrics_write(server->metrics, &response->body);
}

static bool ready(const struct server *server)
{
    const struct lane *lane = &server->lanes[0];
    return lane->worker != NULL && worker_map(lane->worker)->shard_count > 0;
}

static void on_http(void *arg, struct http_call *call, const struct http_request *request)
{
    struct server *server = arg;
    struct http_response *response = http_call_response(call);
    if (slice_equal(request->path, slice_str("/metrics"))) {
        respond_metrics(server, response);
    } else if (slice_equal(request->path, slice_str("/healthz"))) {
        response->status = 200;
        buf_append_text(&response->body, "ok\n");
    } else if (slice_equal(request->path, slice_str("/readyz"))) {
        bool is_ready = ready(server);
        response->status = is_ready ? 200 : 503;
        buf_append_text(&response->body, is_ready ? "ready\n" : "no shards are placed yet\n");
    }
    http_respond(call);
}

enum status server_http_open(struct server *server, char *error)
{
    const char *address = config_text(server->config, CONFIG_http);
    if (address[0] == '\0') {
        return STATUS_OK;
    }
    struct http_options options = {.address = address, .on_request = on_http, .arg = server};
    return http_open(server->lanes[0].loop, &options, &server->http, error);
}

static void set_counter(struct metrics_part *part, enum metric_id id, uint64_t *seen, uint64_t now)
{
    metrics_add(part, id, now - *seen);
    *seen = now;
}

/* Of the whole process: counted on loop 0. */
static void sample_process(struct server *server, struct metrics_part *part)
{
    struct server_seen *seen = &server->seen;
    struct wal_stats wal;
    wal_stats(server->wal, &wal);
    set_counter(part, METRIC_log_written_bytes_total, &seen->log_bytes, wal.bytes_written);
    set_counter(part, METRIC_log_syncs_total, &seen->log_syncs, wal.syncs);
    set_counter(part, METRIC_log_sync_seconds_total, &seen->log_sync_ns, wal.sync_ns_total);
    set_counter(part, METRIC_log_records_total, &seen->log_records, wal.records);
    set_counter(part, METRIC_log_rewritten_total, &seen->log_rewritten, wal.rewritten);
    metrics_set(part, METRIC_log_segments, (int64_t)wal.segments);
    struct node_stats node;
    node_stats(server->node, &node);
    set_counter(part, METRIC_store_flushes_total, &seen->flushes, node.flushes);
    metrics_set(part, METRIC_disk_free_bytes, (int64_t)node.disk_free_bytes);
    metrics_set(part, METRIC_writes_refused, (int64_t)node.refusing);
    metrics_set(part, METRIC_store_unflushed_bytes, (int64_t)store_unflushed(server->store));
    metrics_set(part, METRIC_jobs_running, (int64_t)node.jobs_running);
    metrics_set(part, METRIC_jobs_waiting, (int64_t)node.jobs_waiting);
    metrics_set(part, METRIC_jobs_done_total, (int64_t)node.jobs_done);
    metrics_set(part, METRIC_jobs_failed_total, (int64_t)node.jobs_failed);
    metrics_set(part, METRIC_jobs_moved_bytes_total, (int64_t)node.jobs_bytes);
    metrics_set(part, METRIC_hot_shards, (int64_t)node.hot_shards);
    metrics_set(part, METRIC_load_skew_percent, (int64_t)(node.load_skew_permille / 10));
    const struct {
        const char *kind;
        uint64_t count;
    } decisions[] = {{"split", node.balancer_splits},
                     {"transfer", node.balancer_transfers},
                     {"move", node.balancer_moves},
                     {"merge", node.balancer_merges}};
    for (size_t i = 0; i < sizeof(decisions) / sizeof(decisions[0]); i++) {
        size_t label = metrics_label(part, METRIC_balancer_decisions_total, decisions[i].kind);
        metrics_set_label(part, METRIC_balancer_decisions_total, label,
                          (int64_t)decisions[i].count);
    }
    metrics_set(part, METRIC_map_version, (int64_t)node_map(server->node)->version);
    metrics_set(part, METRIC_node_joined, node_is_joined(server->node));
}

void server_metrics_sample(struct lane *lane)
{
    struct server *server = lane->server;
    struct metrics_part *part = metrics_part(server->metrics, lane->index);
    uint64_t now_ms = loop_now_ms(lane->loop);
    if (now_ms - lane->sampled_ms < 1000) {
        return;
    }
    lane->sampled_ms = now_ms;
    struct worker_stats now;
    worker_stats(lane->worker, &now);
    struct worker_stats *seen = &lane->seen;
    metrics_set(part, METRIC_shards, (int64_t)now.shards);
    metrics_set(part, METRIC_shards_led, (int64_t)now.leaders);
    metrics_set(part, METRIC_shard_waiting, (int64_t)now.waiting);
    metrics_set(part, METRIC_node_shards_short, (int64_t)now.shards_short);
    metrics_set(part, METRIC_shards_quiesced, (int64_t)now.host.quiesced);
    metrics_set(part, METRIC_snapshots_sending, (int64_t)now.transfer.sending);
    metrics_set(part, METRIC_snapshot_left_bytes, (int64_t)now.transfer.bytes_left);
    metrics_set(part, METRIC_snapshots_receiving, (int64_t)now.transfer.receiving);
    metrics_set(part, METRIC_script_memory_bytes, (int64_t)now.scripts.memory);
    metrics_set(part, METRIC_scripts_kept, (int64_t)now.scripts.kept);
    const struct {
        enum metric_id id;
        uint64_t *seen;
        uint64_t now;
    } rows[] = {
        {METRIC_elections_total, &seen->host.elections, now.host.elections},
        {METRIC_raft_messages_total, &seen->host.messages_sent, now.host.messages_sent},
        {METRIC_lease_reads_total, &seen->host.lease_reads, now.host.lease_reads},
        {METRIC_index_rounds_total, &seen->host.index_rounds, now.host.index_rounds},
        {METRIC_shard_requests_total, &seen->requests, now.requests},
        {METRIC_store_commits_total, &seen->commits, now.commits},
        {METRIC_store_stalls_total, &seen->commit_stalls, now.commit_stalls},
        {METRIC_replica_reads_total, &seen->shard.replica_reads, now.shard.replica_reads},
        {METRIC_replica_reads_bounded_total, &seen->shard.replica_bounded,
         now.shard.replica_bounded},
        {METRIC_replica_reads_stale_total, &seen->shard.replica_stale, now.shard.replica_stale},
        {METRIC_replica_reads_refused_total, &seen->shard.replica_refused,
         now.shard.replica_refused},
        {METRIC_backup_fences_total, &seen->backup_fences, now.backup_fences},
        {METRIC_backup_voids_total, &seen->backup_voids, now.backup_voids},
        {METRIC_slow_reads_total, &seen->slow_reads, now.slow_reads},
        {METRIC_scripts_total, &seen->scripts.scripts, now.scripts.scripts},
        {METRIC_script_commands_total, &seen->scripts.commands, now.scripts.commands},
        {METRIC_scripts_slow_total, &seen->scripts.too_long, now.scripts.too_long},
        {METRIC_scripts_stopped_total, &seen->scripts.stopped, now.scripts.stopped},
        {METRIC_messages_published_total, &seen->messages_published, now.messages_published},
        {METRIC_messages_dropped_total, &seen->messages_dropped, now.messages_dropped},
        {METRIC_snapshot_sent_bytes_total, &seen->transfer.bytes_sent, now.transfer.bytes_sent},
        {METRIC_snapshot_received_bytes_total, &seen->transfer.bytes_received,
         now.transfer.bytes_received},
        {METRIC_snapshots_failed_total, &seen->transfer.failed, now.transfer.failed},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        set_counter(part, rows[i].id, rows[i].seen, rows[i].now);
    }
    if (lane->index == 0) {
        sample_process(server, part);
    }
}
