#include "router/router.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/disk.h"
#include "common/base/lockfile.h"
#include "common/base/log.h"
#include "router/router_loop.h"
#include "router/router_report.h"

enum { FILES_SPARE = 1024, MAP_SIZE_MAX = 1 << 28, PATH_SIZE_MAX = 4096 };

static int complain(const char *text, int exit_code)
{
    fprintf(stderr, "sherd-router: %s\n", text);
    return exit_code;
}

/* What the front asks for. */

static void env_execute(void *arg, struct request *request)
{
    struct router *router = arg;
    router_loop_execute(&router->loops[request->loop], request);
}

static void env_ask(void *arg, unsigned loop, struct front_ask *ask)
{
    struct router *router = arg;
    router_loop_ask(&router->loops[loop], ask);
}

static void env_join(void *arg, unsigned loop, const struct front_join *join)
{
    struct router *router = arg;
    if (router->loops[loop].core == NULL) {
        join->done(join->ctx, false); /* The loop ends, and its clients with it. */
        return;
    }
    struct core_join request = {.kind = join->kind,
                                .name = join->name,
                                .count = join->count,
                                .done = join->done,
                                .ctx = join->ctx};
    core_join(router->loops[loop].core, &request);
}

static void env_cancel(void *arg, struct request *request)
{
    struct router *router = arg;
    router_loop_cancel(&router->loops[request->loop], request);
}

static void env_sherd(void *arg, struct request *request)
{
    struct router *router = arg;
    router_report_sherd(&router->loops[request->loop], request);
}

static void env_info(void *arg, unsigned loop, struct buf *out)
{
    struct router *router = arg;
    router_report_info(&router->loops[loop], out);
}

static bool env_keyspace(void *arg, unsigned loop, struct front_keyspace *keyspace)
{
    struct router *router = arg;
    const struct usage *usage = router_loop_usage(&router->loops[loop]);
    for (size_t db = 0; usage != NULL && db < FRONT_DATABASES; db++) {
        keyspace->keys[db] = usage->databases[db].keys;
        keyspace->expires[db] = usage->databases[db].expires;
    }
    return usage != NULL;
}

static void apply_log_config(const struct config *config)
{
    enum log_level level = LOG_INFO;
    if (log_parse_level(config_text(config, CONFIG_log_level), &level)) {
        log_set_level(level);
    }
    log_set_json(config_number(config, CONFIG_log_format) == 1);
}

static void env_config_changed(void *arg, enum config_id id)
{
    const struct router *router = arg;
    if (id == CONFIG_log_level || id == CONFIG_log_format) {
        apply_log_config(router->config);
    }
}

static unsigned env_replicas(void *arg)
{
    const struct router *router = arg;
    return atomic_load(&router->replicas) / 2; /* A majority, less the leader. */
}

static bool env_loading(void *arg)
{
    const struct router *router = arg;
    return !atomic_load(&router->served);
}

static const struct front_env front_env = {.execute = env_execute,
                                           .ask = env_ask,
                                           .join = env_join,
                                           .cancel = env_cancel,
                                           .sherd = env_sherd,
                                           .info = env_info,
                                           .keyspace = env_keyspace,
                                           .config_changed = env_config_changed,
                                           .replicas = env_replicas,
                                           .loading = env_loading};

/* Start. */

static void split_seeds(struct router *router)
{
    const char *at = config_text(router->config, CONFIG_nodes);
    size_t count = 1;
    for (const char *c = at; *c != '\0'; c++) {
        count += *c == ',';
    }
    router->seeds = calloc(count, sizeof(*router->seeds));
    assert(router->seeds != NULL);
    while (*at != '\0') {
        size_t len = strcspn(at, ",");
        if (len > 0) {
            router->seeds[router->seed_count] = strndup(at, len);
            assert(router->seeds[router->seed_count] != NULL);
            router->seed_count++;
        }
        at += len + (at[len] == ',' ? 1 : 0);
    }
}

/* Returns an exit code, 0 if it is fine. */
static int open_data(struct router *router)
{
    const char *folder = config_text(router->config, CONFIG_data);
    buf_init(&router->saved_map, MAP_SIZE_MAX);
    if (folder[0] == '\0') {
        return 0;
    }
    char path[PATH_SIZE_MAX];
    char text[PATH_SIZE_MAX + 128];
    int len = snprintf(path, sizeof(path), "%s/router.lock", folder);
    if (len < 0 || (size_t)len >= sizeof(path)) {
        return complain("the path of --data is too long", 2);
    }
    enum status status = disk_make_folder(folder);
    if (status == STATUS_OK) {
        status = lockfile_open(path, &router->lock);
    }
    if (status == STATUS_CONFLICT) {
        (void)snprintf(text, sizeof(text),
                       "another process uses the directory %s; give each "
                       "router its own --data, or none",
                       folder);
        return complain(text, 1);
    }
    if (status != STATUS_OK) {
        (void)snprintf(text, sizeof(text),
                       "cannot use the directory %s of --data: it cannot be "
                       "made or written to",
                       folder);
        return complain(text, 1);
    }
    (void)snprintf(path, sizeof(path), "%s/router.map", folder);
    router->map_path = strdup(path);
    assert(router->map_path != NULL);
    status = disk_read_file(path, &router->saved_map);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
        log_warn("router.saved_map", "path=%s reason=\"%s\"", path, status_text(status));
        buf_clear(&router->saved_map);
    }
    router->pool = pool_new(1);
    return 0;
}

static unsigned count_loops(const struct config *config)
{
    int64_t wanted = config_number(config, CONFIG_loops);
    if (wanted == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        wanted = cores < 1 ? 1 : cores > 64 ? 64 : cores;
    }
    return (unsigned)wanted;
}

static int open_loops(struct router *router)
{
    char error[LISTENER_ERROR_SIZE] = "";
    char address[CONN_ADDRESS_SIZE];
    unsigned count = router->loop_count;
    router->loop_count = 0;
    for (unsigned i = 0; i < count; i++) {
        const char *where = i == 0 ? config_text(router->config, CONFIG_listen) : address;
        enum status status = router_loop_open(&router->loops[i], router, i, where, error);
        if (status != STATUS_OK) {
            return complain(error, status == STATUS_BAD_ARGUMENT ? 2 : 1);
        }
        router->loop_count++;
        if (i == 0) {
            listener_address(router->loops[0].listener, address);
            front_set_port(router->front, listener_port(router->loops[0].listener));
        }
    }
    log_info("router.listen", "address=%s loops=%u nodes=%s", address, count,
             config_text(router->config, CONFIG_nodes));
    return 0;
}

static int open_http(struct router *router)
{
    const char *address = config_text(router->config, CONFIG_http);
    if (address[0] == '\0') {
        return 0;
    }
    char error[LISTENER_ERROR_SIZE] = "";
    struct http_options options = {
        .address = address, .on_request = router_report_http, .arg = router};
    enum status status = http_open(router->loops[0].loop, &options, &router->http, error);
    if (status != STATUS_OK) {
        return complain(error, status == STATUS_BAD_ARGUMENT ? 2 : 1);
    }
    size_t host_len = (size_t)(strrchr(address, ':') - address);
    log_info("router.http", "address=%.*s:%u", (int)host_len, address, http_port(router->http));
    return 0;
}

/* Run and stop. */

void router_stop(struct router *router, int exit_code)
{
    if (atomic_exchange(&router->stopping, true)) {
        return;
    }
    atomic_store(&router->exit_code, exit_code);
    for (unsigned i = 0; i < router->loop_count; i++) {
        router_loop_stop(&router->loops[i]);
    }
}

static void on_signal(void *arg, int number)
{
    struct router *router = arg;
    log_info("router.stop", "signal=%d", number);
    router_stop(router, 0);
}

static void run_loop(void *arg)
{
    struct router_loop *part = arg;
    loop_run(part->loop);
}

static void run_loops(struct router *router)
{
    loop_on_signal(router->loops[0].loop, SIGTERM, on_signal, router);
    loop_on_signal(router->loops[0].loop, SIGINT, on_signal, router);
    for (unsigned i = 1; i < router->loop_count; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "loop-%u", i);
        thread_start(&router->loops[i].thread, name, run_loop, &router->loops[i]);
    }
    loop_run(router->loops[0].loop);
    for (unsigned i = 1; i < router->loop_count; i++) {
        thread_join(&router->loops[i].thread);
    }
}

static void close_all(struct router *router)
{
    if (router->http != NULL) {
        http_close(router->http);
    }
    if (router->pool != NULL) {
        pool_free(router->pool);
    }
    for (unsigned i = 0; i < router->loop_count; i++) {
        router_loop_close(&router->loops[i]);
    }
    if (router->front != NULL) {
        front_free(router->front);
    }
    if (router->metrics != NULL) {
        metrics_free(router->metrics);
    }
    if (router->lock != NULL) {
        lockfile_close(router->lock);
    }
    for (size_t i = 0; i < router->seed_count; i++) {
        free(router->seeds[i]);
    }
    free(router->seeds);
    free(router->loops);
    free(router->map_path);
    buf_deinit(&router->saved_map);
}

static int start(struct router *router)
{
    int code = open_data(router);
    if (code != 0) {
        return code;
    }
    if (router->seed_count == 0 && router->saved_map.len == 0) {
        return complain("no node is named; give at least one, as in --nodes 127.0.0.1:7001", 2);
    }
    router->metrics = metrics_new(METRIC_ROUTER, router->loop_count);
    struct front_options options = {.config = router->config,
                                    .metrics = router->metrics,
                                    .env = &front_env,
                                    .arg = router,
                                    .loops = router->loop_count,
                                    .program = "sherd-router"};
    router->front = front_new(&options);
    code = open_loops(router);
    return code == 0 ? open_http(router) : code;
}

int router_run(struct config *config)
{
    struct router *router = calloc(1, sizeof(*router));
    assert(router != NULL);
    router->config = config;
    apply_log_config(config);
    router->loop_count = count_loops(config);
    router->loops = calloc(router->loop_count, sizeof(*router->loops));
    assert(router->loops != NULL);
    split_seeds(router);
    uint64_t clients = (uint64_t)config_number(config, CONFIG_maxclients);
    (void)loop_prepare_process(clients + FILES_SPARE);
    int code = start(router);
    if (code == 0) {
        run_loops(router);
        code = atomic_load(&router->exit_code);
    } else if (router->front == NULL) {
        router->loop_count = 0;
    }
    close_all(router);
    free(router);
    return code;
}
