/* Keys of a running Redis, by SCAN, DUMP and PTTL. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/admin/ask.h"
#include "client/admin/import_run.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/number.h"

enum {
    SCAN_COUNT = 256,
    GROUP_SIZE = 16 << 20, /* Bytes of values that are asked for at a time, about, */
    GROUP_COUNT = 64,      /* and how many. */
    NUMBER_SIZE = 24,
    NAME_SIZE = 32,
};

struct server {
    struct import_run *run;
    struct sherd *sherd;
};

static enum verb_exit tell_fault(struct server *server)
{
    enum sherd_fault fault = sherd_fault(server->sherd);
    import_report_say(&server->run->report, "source: %s", sherd_error(server->sherd));
    if (fault == SHERD_BAD_ADDRESS) {
        return VERB_USAGE;
    }
    return fault == SHERD_TIMEOUT ? VERB_TIMED_OUT : VERB_CANNOT_CONNECT;
}

/* Prints what is wrong with a reply that is not of this type; frees it then. */
static enum verb_exit check(struct server *server, struct sherd_reply *reply, enum sherd_type type)
{
    if (reply == NULL) {
        return tell_fault(server);
    }
    if (reply->type == type) {
        return VERB_DONE;
    }
    bool error = reply->type == SHERD_ERROR;
    import_report_say(&server->run->report, "source: %s",
                      error ? reply->text : "an answer of another kind than it should be");
    enum verb_exit code = error ? ask_exit_of(reply) : VERB_FAILED;
    sherd_reply_free(reply);
    return code;
}

static enum verb_exit open_server(struct server *server)
{
    const struct import_plan *plan = &server->run->plan;
    server->sherd = sherd_open(plan->address, server->run->timeout_ms);
    if (plan->password[0] == '\0') {
        return sherd_fault(server->sherd) == SHERD_FINE ? VERB_DONE : tell_fault(server);
    }
    const char *argv[] = {"AUTH", plan->user, plan->password};
    bool user = plan->user[0] != '\0';
    if (!user) {
        argv[1] = plan->password;
    }
    struct sherd_reply *reply = sherd_command(server->sherd, argv, NULL, user ? 3 : 2);
    enum verb_exit code = check(server, reply, SHERD_STATUS);
    if (code == VERB_DONE) {
        sherd_reply_free(reply);
    }
    return code;
}

/* From "db0:keys=12,..." lines of INFO: how many keys each database has. */
static enum verb_exit count_keys(struct server *server, uint64_t keys[IMPORT_SOURCE_DATABASES])
{
    struct sherd_reply *reply = sherd_commandv(server->sherd, "INFO", "keyspace", NULL);
    enum verb_exit code = check(server, reply, SHERD_STRING);
    if (code != VERB_DONE) {
        return code;
    }
    for (const char *line = strstr(reply->text, "db"); line != NULL; line = strstr(line, "\ndb")) {
        line += line[0] == '\n' ? 3 : 2;
        char *end = NULL;
        unsigned long db = strtoul(line, &end, 10);
        if (db < IMPORT_SOURCE_DATABASES && strncmp(end, ":keys=", 6) == 0) {
            keys[db] = strtoull(end + 6, NULL, 10);
        }
    }
    sherd_reply_free(reply);
    return VERB_DONE;
}

static int send_key(struct server *server, const char *name, const struct sherd_reply *key)
{
    const char *argv[] = {name, key->text};
    const size_t lens[] = {strlen(name), key->len};
    return sherd_send(server->sherd, argv, lens, 2);
}

/* About how many bytes each key has; 0 where the server does not know. */
static enum verb_exit measure(struct server *server,
                              const struct sherd_reply *keys,
                              uint64_t *sizes)
{
    for (size_t i = 0; i < keys->count; i++) {
        const char *argv[] = {"MEMORY", "USAGE", keys->elements[i].text};
        const size_t lens[] = {6, 5, keys->elements[i].len};
        if (sherd_send(server->sherd, argv, lens, 3) != 0) {
            return tell_fault(server);
        }
    }
    for (size_t i = 0; i < keys->count; i++) {
        struct sherd_reply *reply = sherd_receive(server->sherd);
        if (reply == NULL) {
            return tell_fault(server);
        }
        sizes[i] = reply->type == SHERD_INTEGER ? (uint64_t)reply->integer : 0;
        sherd_reply_free(reply);
    }
    return VERB_DONE;
}

static enum verb_exit put_value(struct server *server,
                                uint64_t db,
                                const struct sherd_reply *key,
                                const struct sherd_reply *value,
                                const struct sherd_reply *left)
{
    struct import_run *run = server->run;
    struct slice name = slice_of(key->text, key->len);
    if (value->type == SHERD_NULL || (left->type == SHERD_INTEGER && left->integer == -2)) {
        run->report.gone++;
        return VERB_DONE;
    }
    if (value->type != SHERD_STRING || left->type != SHERD_INTEGER) {
        const struct sherd_reply *bad = value->type != SHERD_STRING ? value : left;
        import_report_fail(&run->report, db, name,
                           bad->type == SHERD_ERROR ? bad->text : "the source does not dump it");
        return VERB_DONE;
    }
    uint64_t left_ms = left->integer < 0 ? 0 : (uint64_t)left->integer + 1;
    const struct import_item item = {
        .source_db = db,
        .db = (uint8_t)import_plan_target(&run->plan, db),
        .key = name,
        .payload = slice_of(value->text, value->len),
        .expire_ms = left->integer < 0 ? 0 : clock_wall_ms() + left_ms,
    };
    return import_target_put(&run->target, &item) == STATUS_OK ? VERB_DONE : VERB_CANNOT_CONNECT;
}

/* Some keys, at once. */
static enum verb_exit carry(struct server *server,
                            uint64_t db,
                            const struct sherd_reply *keys,
                            size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (send_key(server, "DUMP", &keys[i]) != 0 || send_key(server, "PTTL", &keys[i]) != 0) {
            return tell_fault(server);
        }
    }
    enum verb_exit code = VERB_DONE;
    for (size_t i = 0; i < count && code == VERB_DONE; i++) {
        struct sherd_reply *value = sherd_receive(server->sherd);
        struct sherd_reply *left = sherd_receive(server->sherd);
        code = value == NULL || left == NULL ? tell_fault(server)
                                             : put_value(server, db, &keys[i], value, left);
        sherd_reply_free(value);
        sherd_reply_free(left);
        server->run->report.place++;
    }
    return code;
}

static enum verb_exit carry_all(struct server *server, uint64_t db, const struct sherd_reply *keys)
{
    uint64_t *sizes = calloc(keys->count + 1, sizeof(*sizes));
    assert(sizes != NULL);
    enum verb_exit code = measure(server, keys, sizes);
    size_t at = 0;
    while (code == VERB_DONE && at < keys->count && !import_run_stopped(server->run)) {
        uint64_t size = sizes[at];
        size_t count = 1;
        while (at + count < keys->count && count < GROUP_COUNT &&
               size + sizes[at + count] <= GROUP_SIZE) {
            size += sizes[at + count];
            count++;
        }
        code = carry(server, db, &keys->elements[at], count);
        at += count;
    }
    free(sizes);
    return code;
}

/* One page of a database. */
static enum verb_exit walk_page(struct server *server, uint64_t db, uint64_t *cursor)
{
    char at[NUMBER_SIZE];
    char count[NUMBER_SIZE];
    snprintf(at, sizeof(at), "%" PRIu64, *cursor);
    snprintf(count, sizeof(count), "%d", SCAN_COUNT);
    struct sherd_reply *page = sherd_commandv(server->sherd, "SCAN", at, "COUNT", count, NULL);
    enum verb_exit code = check(server, page, SHERD_ARRAY);
    if (code != VERB_DONE) {
        return code;
    }
    uint64_t next = 0;
    bool good = page->count == 2 && page->elements[0].type == SHERD_STRING &&
                page->elements[1].type == SHERD_ARRAY &&
                number_parse_u64(slice_of(page->elements[0].text, page->elements[0].len), &next);
    for (size_t i = 0; good && i < page->elements[1].count; i++) {
        good = page->elements[1].elements[i].type == SHERD_STRING;
    }
    if (!good) {
        import_report_say(&server->run->report, "source: what SCAN gives is no page of keys");
        code = VERB_FAILED;
    } else {
        code = carry_all(server, db, &page->elements[1]);
    }
    if (code == VERB_DONE && !server->run->report.interrupted) {
        *cursor = next;
    }
    sherd_reply_free(page);
    return code;
}

static enum verb_exit walk_database(struct server *server, uint64_t db)
{
    struct import_run *run = server->run;
    char number[NUMBER_SIZE];
    snprintf(number, sizeof(number), "%" PRIu64, db);
    struct sherd_reply *reply = sherd_commandv(server->sherd, "SELECT", number, NULL);
    enum verb_exit code = check(server, reply, SHERD_STATUS);
    if (code != VERB_DONE) {
        return code;
    }
    sherd_reply_free(reply);
    run->place.db = db;
    do {
        code = walk_page(server, db, &run->place.cursor);
        import_report_show(&run->report);
        if (code == VERB_DONE && import_run_due(run)) {
            code = import_run_save(run);
        }
    } while (code == VERB_DONE && run->place.cursor != 0 && !import_run_stopped(run));
    return code;
}

static enum verb_exit walk_all(struct server *server, const uint64_t *keys)
{
    struct import_run *run = server->run;
    enum verb_exit code = VERB_DONE;
    for (uint64_t db = run->place.db; db < IMPORT_SOURCE_DATABASES && code == VERB_DONE; db++) {
        int to = import_plan_target(&run->plan, db);
        if (to < 0 && keys[db] > 0 && !run->plan.mapped && run->plan.only < 0) {
            import_report_say(&run->report,
                              "the cluster has databases 0 to 15; say with --db-map where "
                              "database %" PRIu64 " is to go",
                              db);
            run->report.failed += keys[db];
        } else if (to < 0) {
            run->report.skipped += keys[db];
        } else if (keys[db] > 0) {
            code = walk_database(server, db);
            if (run->report.interrupted) {
                return code;
            }
        }
    }
    run->place.finished = code == VERB_DONE;
    return code;
}

static void print_plan(const struct import_run *run, const uint64_t *keys)
{
    uint64_t all = 0;
    for (uint64_t db = 0; db < IMPORT_SOURCE_DATABASES; db++) {
        int to = import_plan_target(&run->plan, db);
        all += keys[db];
        if (keys[db] > 0 && !run->report.json) {
            printf("database %" PRIu64 ": %" PRIu64 " keys", db, keys[db]);
            printf(to < 0 ? ", left out\n" : ", to database %d\n", to);
        }
    }
    printf(run->report.json ? "{\"keys\":%" PRIu64 "}\n" : "%" PRIu64 " keys in all\n", all);
}

static enum verb_exit carry_server(struct server *server)
{
    struct import_run *run = server->run;
    uint64_t keys[IMPORT_SOURCE_DATABASES] = {0};
    enum verb_exit code = count_keys(server, keys);
    if (code != VERB_DONE || run->dry_run) {
        if (code == VERB_DONE) {
            print_plan(run, keys);
        }
        return code;
    }
    for (uint64_t db = 0; db < IMPORT_SOURCE_DATABASES; db++) {
        run->report.total += import_plan_target(&run->plan, db) < 0 ? 0 : keys[db];
    }
    code = walk_all(server, keys);
    enum verb_exit saved = import_run_save(run);
    return code != VERB_DONE ? code : saved;
}

enum verb_exit import_run_server(struct import_run *run)
{
    char source[IMPORT_SOURCE_SIZE];
    struct server server = {.run = run};
    snprintf(source, sizeof(source), "redis://%s database %d", run->plan.address, run->plan.only);
    enum verb_exit code = import_run_load(run, source);
    if (code == VERB_DONE && !run->place.finished) {
        code = open_server(&server);
        if (code == VERB_DONE) {
            code = carry_server(&server);
        }
    }
    sherd_close(server.sherd);
    return code;
}
