#include <malloc.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/version.h"
#include "common/front/front_core.h"

/* INFO, in Redis' names where we have the thing. Counters are read on loop 0, where those of the
 * last RESETSTAT are; what belongs to the client's own loop is added when the tour has come home.
 */

enum section {
    SECTION_SERVER = 1 << 0,
    SECTION_CLIENTS = 1 << 1,
    SECTION_MEMORY = 1 << 2,
    SECTION_PERSISTENCE = 1 << 3,
    SECTION_STATS = 1 << 4,
    SECTION_REPLICATION = 1 << 5,
    SECTION_CPU = 1 << 6,
    SECTION_MODULES = 1 << 7,
    SECTION_COMMANDSTATS = 1 << 8,
    SECTION_ERRORSTATS = 1 << 9,
    SECTION_CLUSTER = 1 << 10,
    SECTION_KEYSPACE = 1 << 11,
    SECTION_SHERD = 1 << 12,
    SECTIONS_ALL = (1 << 13) - 1,
    SECTIONS_DEFAULT = SECTIONS_ALL & ~SECTION_COMMANDSTATS,
};

static const struct {
    const char *name;
    unsigned sections;
} names[] = {
    {"server", SECTION_SERVER},
    {"clients", SECTION_CLIENTS},
    {"memory", SECTION_MEMORY},
    {"persistence", SECTION_PERSISTENCE},
    {"stats", SECTION_STATS},
    {"replication", SECTION_REPLICATION},
    {"cpu", SECTION_CPU},
    {"modules", SECTION_MODULES},
    {"commandstats", SECTION_COMMANDSTATS},
    {"errorstats", SECTION_ERRORSTATS},
    {"cluster", SECTION_CLUSTER},
    {"keyspace", SECTION_KEYSPACE},
    {"sherd", SECTION_SHERD},
    {"default", SECTIONS_DEFAULT},
    {"all", SECTIONS_ALL},
    {"everything", SECTIONS_ALL},
};

struct info {
    struct front_tour tour;
    unsigned sections;
    struct buf text;
};

typedef unsigned long long ull;

/* A section's name, after an empty line if it is not the first. */
static bool begin(struct info *info, enum section section, const char *name)
{
    if ((info->sections & section) == 0) {
        return false;
    }
    buf_append_text(&info->text, info->text.len > 0 ? "\r\n" : "");
    buf_append_format(&info->text, "# %s\r\n", name);
    return true;
}

static void write_human(struct buf *out, const char *name, uint64_t size)
{
    static const char units[] = "BKMGT";
    double value = (double)size;
    size_t unit = 0;
    while (value >= 1024 && unit + 2 < sizeof(units)) {
        value /= 1024;
        unit++;
    }
    if (unit == 0) {
        buf_append_format(out, "%s_human:%lluB\r\n", name, (ull)size);
    } else {
        buf_append_format(out, "%s_human:%.2f%c\r\n", name, value, units[unit]);
    }
}

static void write_server(struct info *info, const struct front *front)
{
    struct utsname name;
    bool known = uname(&name) == 0;
    uint64_t uptime_s = (clock_now_ms() - front->started_ms) / 1000;
    buf_append_format(
        &info->text,
        "redis_version:%s\r\nredis_git_sha1:00000000\r\nredis_git_dirty:0\r\n"
        "redis_build_id:0\r\nredis_mode:standalone\r\nos:%s %s %s\r\narch_bits:%zu\r\n"
        "multiplexing_api:epoll\r\ngcc_version:%d.%d.%d\r\nprocess_id:%ld\r\n"
        "run_id:%s\r\ntcp_port:%u\r\nserver_time_usec:%llu\r\n"
        "uptime_in_seconds:%llu\r\nuptime_in_days:%llu\r\nhz:1\r\nconfigured_hz:1\r\n"
        "executable:%s\r\nconfig_file:%s\r\nio_threads_active:%u\r\n"
        "sherd_version:%s\r\n",
        FRONT_REDIS_VERSION, known ? name.sysname : "?", known ? name.release : "?",
        known ? name.machine : "?", sizeof(void *) * 8, __GNUC__, __GNUC_MINOR__,
        __GNUC_PATCHLEVEL__, (long)getpid(), front->run_id, (unsigned)atomic_load(&front->tcp_port),
        (ull)clock_wall_ms() * 1000, (ull)uptime_s, (ull)uptime_s / 86400, front->options.program,
        config_text(front->options.config, CONFIG_config), front->options.loops > 1 ? 1U : 0U,
        SHERD_VERSION);
}

static void write_clients(struct info *info, const struct front *front)
{
    buf_append_format(
        &info->text,
        "connected_clients:%llu\r\ncluster_connections:0\r\nmaxclients:%lld\r\n"
        "client_recent_max_input_buffer:0\r\nclient_recent_max_output_buffer:0\r\n"
        "blocked_clients:%llu\r\ntracking_clients:0\r\nclients_in_timeout_table:0\r\n",
        (ull)front_clients(front),
        (long long)config_number(front->options.config, CONFIG_maxclients),
        (ull)atomic_load_explicit(&front->blocked, memory_order_relaxed));
}

static void write_memory(struct info *info, const struct front *front)
{
    struct buf *out = &info->text;
    struct mallinfo2 heap = mallinfo2();
    uint64_t used = heap.uordblks + heap.hblkhd;
    struct metrics_process process = metrics_process();
    uint64_t total = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    buf_append_format(out, "used_memory:%llu\r\n", (ull)used);
    write_human(out, "used_memory", used);
    buf_append_format(out, "used_memory_rss:%llu\r\n", (ull)process.resident_size);
    write_human(out, "used_memory_rss", process.resident_size);
    buf_append_format(out, "used_memory_peak:%llu\r\n", (ull)process.resident_size);
    write_human(out, "used_memory_peak", process.resident_size);
    buf_append_format(out,
                      "used_memory_overhead:0\r\nused_memory_startup:0\r\n"
                      "used_memory_dataset:%llu\r\nused_memory_lua:0\r\n",
                      (ull)used);
    buf_append_format(out, "total_system_memory:%llu\r\n", (ull)total);
    write_human(out, "total_system_memory", total);
    buf_append_format(out,
                      "maxmemory:0\r\nmaxmemory_human:0B\r\nmaxmemory_policy:noeviction\r\n"
                      "mem_fragmentation_ratio:%.2f\r\nmem_clients_slaves:0\r\n"
                      "mem_clients_normal:%llu\r\nmem_aof_buffer:0\r\nmem_allocator:libc\r\n"
                      "active_defrag_running:0\r\nlazyfree_pending_objects:0\r\n",
                      used > 0 ? (double)process.resident_size / (double)used : 0.0,
                      (ull)atomic_load_explicit(&front->memory, memory_order_relaxed));
}

static void write_persistence(struct info *info, const struct front *front)
{
    const struct front_options *options = &front->options;
    bool loading = options->env->loading != NULL && options->env->loading(options->arg);
    buf_append_format(&info->text,
                      "loading:%d\r\nasync_loading:0\r\nrdb_changes_since_last_save:0\r\n"
                      "rdb_bgsave_in_progress:0\r\nrdb_last_save_time:%llu\r\n"
                      "rdb_last_bgsave_status:ok\r\nrdb_last_bgsave_time_sec:-1\r\n"
                      "rdb_current_bgsave_time_sec:-1\r\nrdb_last_cow_size:0\r\n"
                      "aof_enabled:1\r\naof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0\r\n"
                      "aof_last_rewrite_time_sec:-1\r\naof_current_rewrite_time_sec:-1\r\n"
                      "aof_last_bgrewrite_status:ok\r\naof_last_write_status:ok\r\n"
                      "aof_last_cow_size:0\r\n",
                      loading ? 1 : 0, (ull)clock_wall_ms() / 1000);
}

static uint64_t sum_calls(const struct front_counts *counts)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < CMD_COUNT; i++) {
        sum += counts->calls[i];
    }
    return sum;
}

static void write_stats(struct info *info,
                        const struct front *front,
                        const struct front_counts *now)
{
    const struct front_counts *reset = front->reset;
    const struct front_rate *rate = &front->rate;
    buf_append_format(&info->text,
                      "total_connections_received:%llu\r\ntotal_commands_processed:%llu\r\n"
                      "instantaneous_ops_per_sec:%llu\r\ntotal_net_input_bytes:%llu\r\n"
                      "total_net_output_bytes:%llu\r\ninstantaneous_input_kbps:%.2f\r\n"
                      "instantaneous_output_kbps:%.2f\r\nrejected_connections:%llu\r\n"
                      "sync_full:0\r\nsync_partial_ok:0\r\nsync_partial_err:0\r\nexpired_keys:0\r\n"
                      "evicted_keys:0\r\nevicted_clients:%llu\r\nkeyspace_hits:0\r\n"
                      "keyspace_misses:0\r\npubsub_channels:%llu\r\npubsub_patterns:%llu\r\n"
                      "latest_fork_usec:0\r\ntotal_forks:0\r\nmigrate_cached_sockets:0\r\n"
                      "slave_expires_tracked_keys:0\r\nactive_defrag_hits:0\r\n"
                      "active_defrag_misses:0\r\nactive_defrag_key_hits:0\r\n"
                      "active_defrag_key_misses:0\r\nunexpected_error_replies:0\r\n"
                      "total_error_replies:%llu\r\n",
                      (ull)(now->accepted - reset->accepted),
                      (ull)(sum_calls(now) - sum_calls(reset)), (ull)rate->commands_per_second,
                      (ull)(now->input - reset->input), (ull)(now->output - reset->output),
                      rate->input_per_second / 1024, rate->output_per_second / 1024,
                      (ull)(now->refused - reset->refused), (ull)(now->evicted - reset->evicted),
                      (ull)atomic_load(&front->channels), (ull)atomic_load(&front->patterns),
                      (ull)(now->errors - reset->errors));
}

static void write_replication(struct info *info, const struct front *front)
{
    buf_append_format(&info->text,
                      "role:master\r\nconnected_slaves:0\r\n"
                      "master_failover_state:no-failover\r\nmaster_replid:%s\r\n"
                      "master_replid2:0000000000000000000000000000000000000000\r\n"
                      "master_repl_offset:0\r\nsecond_repl_offset:-1\r\nrepl_backlog_active:0\r\n"
                      "repl_backlog_size:0\r\nrepl_backlog_first_byte_offset:0\r\n"
                      "repl_backlog_histlen:0\r\n",
                      front->run_id);
}

static void write_cpu(struct info *info)
{
    struct metrics_process process = metrics_process();
    buf_append_format(
        &info->text,
        "used_cpu_sys:%.6f\r\nused_cpu_user:%.6f\r\nused_cpu_sys_children:0.000000\r\n"
        "used_cpu_user_children:0.000000\r\n",
        process.cpu_system, process.cpu_user);
}

static void write_commands(struct info *info,
                           const struct front_counts *now,
                           const struct front_counts *reset)
{
    for (size_t i = 0; i < CMD_COUNT; i++) {
        uint64_t calls = now->calls[i] - reset->calls[i];
        uint64_t rejected = now->rejected[i] - reset->rejected[i];
        if (calls == 0 && rejected == 0) {
            continue;
        }
        uint64_t us = (now->ns[i] - reset->ns[i]) / 1000;
        buf_append_format(&info->text,
                          "cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,"
                          "rejected_calls=%llu,failed_calls=%llu\r\n",
                          command_at(i)->name, (ull)calls, (ull)us,
                          calls > 0 ? (double)us / (double)calls : 0.0, (ull)rejected,
                          (ull)(now->failed[i] - reset->failed[i]));
    }
}

static uint64_t code_count(const struct front_counts *counts, const char *code)
{
    for (size_t i = 0; i < counts->code_count; i++) {
        if (strcmp(counts->codes[i], code) == 0) {
            return counts->code_counts[i];
        }
    }
    return 0;
}

static void write_errors(struct info *info,
                         const struct front_counts *now,
                         const struct front_counts *reset)
{
    for (size_t i = 0; i < now->code_count; i++) {
        uint64_t count = now->code_counts[i] - code_count(reset, now->codes[i]);
        if (count > 0) {
            buf_append_format(&info->text, "errorstat_%s:count=%llu\r\n", now->codes[i],
                              (ull)count);
        }
    }
}

/* On loop 0. */
static void visit(struct front_tour *tour, struct front_part *part)
{
    struct info *info = list_entry(tour, struct info, tour);
    struct front *front = part->front;
    front_refresh(part);
    struct front_counts *now = malloc(sizeof(*now));
    assert(now != NULL);
    front_count(front, now);
    if (begin(info, SECTION_SERVER, "Server")) {
        write_server(info, front);
    }
    if (begin(info, SECTION_CLIENTS, "Clients")) {
        write_clients(info, front);
    }
    if (begin(info, SECTION_MEMORY, "Memory")) {
        write_memory(info, front);
    }
    if (begin(info, SECTION_PERSISTENCE, "Persistence")) {
        write_persistence(info, front);
    }
    if (begin(info, SECTION_STATS, "Stats")) {
        write_stats(info, front, now);
    }
    if (begin(info, SECTION_REPLICATION, "Replication")) {
        write_replication(info, front);
    }
    if (begin(info, SECTION_CPU, "CPU")) {
        write_cpu(info);
    }
    (void)begin(info, SECTION_MODULES, "Modules");
    if (begin(info, SECTION_COMMANDSTATS, "Commandstats")) {
        write_commands(info, now, front->reset);
    }
    if (begin(info, SECTION_ERRORSTATS, "Errorstats")) {
        write_errors(info, now, front->reset);
    }
    free(now);
}

static void come_home(struct front_tour *tour)
{
    struct info *info = list_entry(tour, struct info, tour);
    struct request *request = tour->request;
    const struct front_options *options = &tour->front->options;
    if (begin(info, SECTION_CLUSTER, "Cluster")) {
        buf_append_text(&info->text, "cluster_enabled:0\r\n");
    }
    if (begin(info, SECTION_KEYSPACE, "Keyspace")) {
        struct front_keyspace keyspace = {0};
        bool known = options->env->keyspace != NULL &&
                     options->env->keyspace(options->arg, request->loop, &keyspace);
        for (unsigned db = 0; known && db < FRONT_DATABASES; db++) {
            if (keyspace.keys[db] > 0) {
                buf_append_format(&info->text, "db%u:keys=%llu,expires=%llu,avg_ttl=0\r\n", db,
                                  (ull)keyspace.keys[db], (ull)keyspace.expires[db]);
            }
        }
    }
    if (options->env->info != NULL && begin(info, SECTION_SHERD, "Sherd")) {
        options->env->info(options->arg, request->loop, &info->text);
    }
    resp_write_verbatim(front_reply(request), buf_slice(&info->text));
    buf_deinit(&info->text);
    free(info);
    front_done(request);
}

void front_info(struct request *request)
{
    struct info *info = calloc(1, sizeof(*info));
    assert(info != NULL);
    buf_init(&info->text, SIZE_MAX / 2);
    info->sections = request->args.argc == 1 ? SECTIONS_DEFAULT : 0;
    for (size_t i = 1; i < request->args.argc; i++) {
        for (size_t at = 0; at < sizeof(names) / sizeof(names[0]); at++) {
            bool same = command_word(request->args.argv[i], names[at].name);
            info->sections |= same ? names[at].sections : 0;
        }
    }
    info->tour.visit = visit;
    info->tour.home = come_home;
    front_tour_start(&info->tour, request, 1);
}
