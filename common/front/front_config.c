#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/glob.h"
#include "common/base/log.h"
#include "common/front/front_core.h"
#include "common/proto/notify.h"

/* CONFIG. Changes and RESETSTAT happen on loop 0, whoever asks for them. */

enum { PATTERN_SIZE_MAX = 128, FAILURE_SIZE = CONFIG_ERROR_SIZE + 256 };

struct change {
    struct front_tour tour;
    char failure[FAILURE_SIZE]; /* Empty: it went well. */
    /* Which keyspace events are published is the shards' to know. */
    bool notifies;
    char notify[NOTIFY_TEXT_SIZE];
    struct front_ask ask;
    struct slice argv[2];
};

static bool wanted(struct request *request, const char *name)
{
    for (size_t i = 2; i < request->args.argc; i++) {
        struct slice pattern = request->args.argv[i];
        char lower[PATTERN_SIZE_MAX];
        if (pattern.len >= sizeof(lower)) {
            continue;
        }
        for (size_t at = 0; at < pattern.len; at++) {
            uint8_t c = pattern.data[at];
            lower[at] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
        }
        if (glob_match(slice_of(lower, pattern.len), slice_str(name))) {
            return true;
        }
    }
    return false;
}

static void get(struct request *request)
{
    const struct config *config = request->part->front->options.config;
    bool found[CONFIG_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < CONFIG_COUNT; i++) {
        const struct config_row *row = config_row((enum config_id)i);
        found[i] = (row->flags & config->program) != 0 && wanted(request, row->name);
        count += found[i];
    }
    struct buf *reply = front_reply(request);
    struct buf value;
    buf_init(&value, SIZE_MAX / 2);
    resp_write_map(reply, count);
    for (size_t i = 0; i < CONFIG_COUNT; i++) {
        if (!found[i]) {
            continue;
        }
        buf_clear(&value);
        config_print(config, (enum config_id)i, &value);
        resp_write_text(reply, config_row((enum config_id)i)->name);
        resp_write_bulk(reply, buf_slice(&value));
    }
    buf_deinit(&value);
    front_done(request);
}

static bool seen_before(struct args args, size_t at)
{
    char name[PATTERN_SIZE_MAX];
    if (args.argv[at].len >= sizeof(name)) {
        return false;
    }
    memcpy(name, args.argv[at].data, args.argv[at].len);
    name[args.argv[at].len] = '\0';
    for (size_t i = 2; i < at; i += 2) {
        if (command_word(args.argv[i], name)) {
            return true;
        }
    }
    return false;
}

static void fail_change(struct change *change,
                        struct slice name,
                        enum status status,
                        const char *why)
{
    char shown[64];
    size_t len = name.len < sizeof(shown) - 1 ? name.len : sizeof(shown) - 1;
    memcpy(shown, name.data, len);
    shown[len] = '\0';
    if (status == STATUS_NOT_FOUND) {
        const char *hint = strstr(why, "did you mean");
        (void)snprintf(change->failure, FAILURE_SIZE,
                       "ERR Unknown option or number of arguments for CONFIG SET - '%s'%s%s", shown,
                       hint != NULL ? ", " : "", hint != NULL ? hint : "");
        return;
    }
    (void)snprintf(change->failure, FAILURE_SIZE,
                   "ERR CONFIG SET failed (possibly related to argument '%s') - %s", shown, why);
}

/* Brings the letters into Redis' order. */
static enum status take_notify(struct change *change, struct slice *value, char *error)
{
    uint32_t flags = 0;
    if (!notify_parse(*value, &flags)) {
        (void)snprintf(error, CONFIG_ERROR_SIZE,
                       "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
        return STATUS_BAD_ARGUMENT;
    }
    if (change->tour.front->options.env->ask == NULL) {
        (void)snprintf(error, CONFIG_ERROR_SIZE, "connect to a router to set it");
        return STATUS_BAD_ARGUMENT;
    }
    notify_format(flags, change->notify);
    change->notifies = true;
    *value = slice_str(change->notify);
    return STATUS_OK;
}

/* All or nothing: checks every pair before it sets the first. */
static void visit_set(struct front_tour *tour, struct front_part *part)
{
    struct change *change = list_entry(tour, struct change, tour);
    const struct front_options *options = &part->front->options;
    struct args args = tour->request->args;
    char error[CONFIG_ERROR_SIZE] = "";
    for (size_t i = 2; i < args.argc; i += 2) {
        enum status status =
            config_check(options->config, args.argv[i], args.argv[i + 1], CONFIG_FROM_SET, error);
        struct slice value = args.argv[i + 1];
        if (status == STATUS_OK && command_word(args.argv[i], "notify-keyspace-events")) {
            status = take_notify(change, &value, error);
        }
        if (status == STATUS_OK && seen_before(args, i)) {
            (void)snprintf(error, sizeof(error), "duplicate parameter");
            status = STATUS_BAD_ARGUMENT;
        }
        if (status != STATUS_OK) {
            fail_change(change, args.argv[i], status, error);
            return;
        }
    }
    for (size_t i = 2; i < args.argc; i += 2) {
        bool notify = command_word(args.argv[i], "notify-keyspace-events");
        struct slice value = notify ? slice_str(change->notify) : args.argv[i + 1];
        enum status status =
            config_set(options->config, args.argv[i], value, CONFIG_FROM_SET, error);
        if (status != STATUS_OK) {
            /* Only the bound on the number of changes can be met in between. */
            fail_change(change, args.argv[i], status, error);
            return;
        }
        enum config_id id = config_find(options->config, args.argv[i]);
        log_info("config.set", "name=%s", config_row(id)->name);
        if (options->env->config_changed != NULL) {
            options->env->config_changed(options->arg, id);
        }
    }
    config_apply_log(options->config);
}

static void visit_reset(struct front_tour *tour, struct front_part *part)
{
    (void)tour;
    front_count(part->front, part->front->reset);
}

static void on_notified(struct front_ask *ask, struct slice reply)
{
    struct change *change = list_entry(ask, struct change, ask);
    struct request *request = change->tour.request;
    free(change);
    request_finish(request, reply);
}

static void ask_notify(struct change *change)
{
    const struct front_options *options = &change->tour.front->options;
    change->argv[0] = slice_str("notify");
    change->argv[1] = slice_str(change->notify);
    change->ask = (struct front_ask){.command = command_at(CMD_notify),
                                     .args = {.argv = change->argv, .argc = 2},
                                     .on_reply = on_notified};
    options->env->ask(options->arg, change->tour.request->part->index, &change->ask);
}

static void come_home(struct front_tour *tour)
{
    struct change *change = list_entry(tour, struct change, tour);
    struct request *request = tour->request;
    if (change->failure[0] == '\0' && change->notifies) {
        ask_notify(change);
        return;
    }
    if (change->failure[0] != '\0') {
        request_fail(request, change->failure);
    } else {
        front_ok(request);
    }
    free(change);
}

static void start(struct request *request,
                  void (*visit)(struct front_tour *tour, struct front_part *part))
{
    struct change *change = calloc(1, sizeof(*change));
    assert(change != NULL);
    change->tour.visit = visit;
    change->tour.home = come_home;
    front_tour_start(&change->tour, request, 1);
}

static void set(struct request *request)
{
    if (request->args.argc % 2 != 0) {
        request_fail(request, "ERR syntax error");
        return;
    }
    start(request, visit_set);
}

static void reset_statistics(struct request *request)
{
    start(request, visit_reset);
}

static void rewrite(struct request *request)
{
    const char *path = config_text(request->part->front->options.config, CONFIG_config);
    request_fail(request, path[0] == '\0'
                              ? "ERR The server is running without a config file"
                              : "ERR The config file is not rewritten: change it by hand");
}

void front_config(struct request *request)
{
    static const struct front_subcommand table[] = {
        {"get", -3, get},
        {"resetstat", 2, reset_statistics},
        {"rewrite", 2, rewrite},
        {"set", -4, set},
    };
    static const char *const help[] = {
        "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "GET <pattern>",
        "    Return parameters matching the glob-like <pattern> and their values.",
        "SET <directive> <value>",
        "    Set the configuration <directive> to <value>.",
        "RESETSTAT",
        "    Reset statistics reported by the INFO command.",
        "REWRITE",
        "    Rewrite the configuration file.",
        "HELP",
        "    Prints this help.",
        NULL,
    };
    front_run_subcommand(request, table, sizeof(table) / sizeof(table[0]), help);
}
