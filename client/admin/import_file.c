/* Keys of an RDB file. It is read twice: before anything is written it is known to be whole. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/admin/import_run.h"
#include "common/base/clock.h"
#include "common/rdb/rdb_payload.h"
#include "common/rdb/rdb_value.h"

#define SIZE_LIMIT ((size_t)4 << 30)

enum {
    STEP_SIZE = 1 << 20,
    AHEAD_SIZE = 256 << 20, /* So much may be sent before the place is kept again. */
};

/* A file seen through a window that holds one item, and grows for a large one. */
struct reading {
    int fd;
    struct buf window;
    size_t used; /* Of the window. */
    bool end;
    struct rdb_file file;
};

/* What a file has. */
struct content {
    uint64_t keys[IMPORT_SOURCE_DATABASES];
    uint64_t others; /* Keys of databases with larger numbers. */
    uint64_t modules;
    uint64_t module_values;
    uint64_t functions;
};

static enum verb_exit open_reading(struct import_run *run,
                                   struct reading *reading,
                                   struct rdb_mark start)
{
    *reading = (struct reading){.fd = open(run->plan.path, O_RDONLY | O_CLOEXEC)};
    buf_init(&reading->window, SIZE_LIMIT);
    rdb_file_init(&reading->file, start);
    if (reading->fd < 0 || lseek(reading->fd, (off_t)start.offset, SEEK_SET) < 0) {
        import_report_say(&run->report, "%s: %s", run->plan.path, strerror(errno));
        return VERB_FAILED;
    }
    return VERB_DONE;
}

static void close_reading(struct reading *reading)
{
    if (reading->fd >= 0) {
        close(reading->fd);
    }
    buf_deinit(&reading->window);
    rdb_file_deinit(&reading->file);
}

/* More of the file into the window, at least as much as there is. IO, TOO_BIG. */
static enum status read_more(struct reading *reading)
{
    buf_consume(&reading->window, reading->used);
    reading->used = 0;
    size_t size = reading->window.len > STEP_SIZE ? reading->window.len : STEP_SIZE;
    if (reading->window.len + size > SIZE_LIMIT) {
        return STATUS_TOO_BIG;
    }
    size_t wanted = reading->window.len + size;
    while (reading->window.len < wanted && !reading->end) {
        ssize_t n =
            read(reading->fd, buf_reserve(&reading->window, size), wanted - reading->window.len);
        if (n < 0 && errno != EINTR) {
            return STATUS_IO;
        }
        reading->end = n == 0;
        reading->window.len += n > 0 ? (size_t)n : 0;
    }
    return STATUS_OK;
}

/* NULL, or what is wrong with the file. */
static const char *next_item(struct reading *reading, struct rdb_item *item)
{
    while (true) {
        struct slice window =
            slice_of(reading->window.data + reading->used, reading->window.len - reading->used);
        uint64_t offset = reading->file.at.offset;
        enum status status =
            window.len == 0 ? STATUS_AGAIN : rdb_file_next(&reading->file, window, item);
        if (status == STATUS_OK) {
            reading->used += (size_t)(reading->file.at.offset - offset);
            return NULL;
        }
        if (status != STATUS_AGAIN) {
            return reading->file.fault;
        }
        if (reading->end) {
            return "it ends too early: a part of it is missing";
        }
        status = read_more(reading);
        if (status != STATUS_OK) {
            return status == STATUS_IO ? strerror(errno) : "a value in it is longer than 4 GB";
        }
    }
}

static enum verb_exit tell_fault(struct import_run *run,
                                 const struct reading *reading,
                                 const char *fault)
{
    import_report_say(&run->report, "%s, near byte %" PRIu64 ": %s", run->plan.path,
                      reading->file.at.offset, fault);
    return VERB_FAILED;
}

static void count_item(struct content *content, const struct rdb_item *item)
{
    bool key = item->kind == RDB_ITEM_KEY;
    if (key && item->db < IMPORT_SOURCE_DATABASES) {
        content->keys[item->db]++;
    } else if (key) {
        content->others++;
    }
    content->module_values += key && item->type == RDB_TYPE_MODULE_2;
    content->modules += item->kind == RDB_ITEM_MODULE;
    content->functions += item->kind == RDB_ITEM_FUNCTIONS;
}

static enum verb_exit look_through(struct import_run *run, struct content *content)
{
    struct reading reading;
    struct rdb_item item = {0};
    const char *fault = NULL;
    enum verb_exit code = open_reading(run, &reading, (struct rdb_mark){0});
    while (code == VERB_DONE && fault == NULL && item.kind != RDB_ITEM_END &&
           !import_run_stopped(run)) {
        fault = next_item(&reading, &item);
        if (fault == NULL) {
            count_item(content, &item);
        }
    }
    if (fault != NULL) {
        code = tell_fault(run, &reading, fault);
    }
    close_reading(&reading);
    return code;
}

static void warn(struct import_run *run, const struct content *content)
{
    if (content->functions > 0) {
        import_report_say(&run->report, "%" PRIu64 " libraries of functions are left out",
                          content->functions);
    }
    if (content->modules > 0) {
        import_report_say(&run->report, "%" PRIu64 " notes of modules are left out",
                          content->modules);
    }
}

static void print_plan(const struct import_run *run, const struct content *content)
{
    uint64_t all = 0;
    for (size_t db = 0; db < IMPORT_SOURCE_DATABASES; db++) {
        all += content->keys[db];
        if (content->keys[db] > 0 && !run->report.json) {
            int to = import_plan_target(&run->plan, db);
            printf("database %zu: %" PRIu64 " keys", db, content->keys[db]);
            printf(to < 0 ? ", left out\n" : ", to database %d\n", to);
        }
    }
    if (run->report.json) {
        printf("{\"keys\":%" PRIu64 ",\"module_values\":%" PRIu64 "}\n", all + content->others,
               content->module_values);
    } else {
        printf("%" PRIu64 " keys in all, %" PRIu64
               " of them values of modules, which cannot be imported\n",
               all + content->others, content->module_values);
    }
}

/* The payload of a RESTORE. */
static void make_payload(const struct rdb_item *item, struct buf *payload)
{
    buf_clear(payload);
    buf_append_u8(payload, item->type);
    buf_append_slice(payload, item->value);
    rdb_payload_seal(payload, 0);
}

static enum verb_exit put_key(struct import_run *run, const struct rdb_item *item, bool again)
{
    struct import_report *report = &run->report;
    int db = import_plan_target(&run->plan, item->db);
    if (db < 0 && !run->plan.mapped && run->plan.only < 0) {
        import_report_fail(report, item->db, item->key,
                           "the cluster has databases 0 to 15; say which with --db-map");
        return VERB_DONE;
    }
    if (db < 0) {
        report->skipped++;
        return VERB_DONE;
    }
    if (item->expire_ms != 0 && item->expire_ms <= clock_wall_ms()) {
        report->expired++;
        return VERB_DONE;
    }
    if (item->type == RDB_TYPE_MODULE_2) {
        import_report_fail(report, item->db, item->key, "it is a value of a module");
        return VERB_DONE;
    }
    struct buf payload;
    buf_init(&payload, SIZE_LIMIT);
    make_payload(item, &payload);
    const struct import_item put = {.source_db = item->db,
                                    .db = (uint8_t)db,
                                    .key = item->key,
                                    .payload = buf_slice(&payload),
                                    .expire_ms = item->expire_ms,
                                    .again = again};
    enum status status = import_target_put(&run->target, &put);
    buf_deinit(&payload);
    return status == STATUS_OK ? VERB_DONE : VERB_CANNOT_CONNECT;
}

/* Keeps the place, and how far may be sent before it is kept again. */
static enum verb_exit save(struct import_run *run, struct rdb_mark mark)
{
    uint64_t sent = mark.offset + AHEAD_SIZE;
    run->place.mark = mark;
    run->place.sent = sent > run->place.sent ? sent : run->place.sent;
    return import_run_save(run);
}

static enum verb_exit write_all(struct import_run *run, struct reading *reading)
{
    uint64_t sent_before = run->place.sent;
    struct rdb_item item = {0};
    enum verb_exit code = save(run, reading->file.at);
    while (code == VERB_DONE && item.kind != RDB_ITEM_END) {
        struct rdb_mark before = reading->file.at;
        const char *fault = next_item(reading, &item);
        if (fault != NULL) {
            return tell_fault(run, reading, fault);
        }
        if (import_run_stopped(run)) {
            return save(run, before);
        }
        if (reading->file.at.offset > run->place.sent) {
            code = save(run, before);
            run->place.sent = reading->file.at.offset;
        }
        if (code == VERB_DONE && item.kind == RDB_ITEM_KEY) {
            code = put_key(run, &item, before.offset < sent_before);
        }
        run->report.place = reading->file.at.offset;
        if (code == VERB_DONE && import_run_due(run)) {
            code = save(run, reading->file.at);
        }
    }
    if (code == VERB_DONE) {
        run->place.finished = true;
        code = save(run, reading->file.at);
    }
    return code;
}

/* The file as it is now: a changed one is another source. */
static enum verb_exit name_source(struct import_run *run, char name[IMPORT_SOURCE_SIZE])
{
    struct stat stat_of;
    if (stat(run->plan.path, &stat_of) != 0) {
        import_report_say(&run->report, "%s: %s", run->plan.path, strerror(errno));
        return VERB_FAILED;
    }
    run->report.total = (uint64_t)stat_of.st_size;
    int len = snprintf(name, IMPORT_SOURCE_SIZE, "%" PRIu64 " bytes of %" PRIu64 ".%09ld in %s",
                       (uint64_t)stat_of.st_size, (uint64_t)stat_of.st_mtim.tv_sec,
                       stat_of.st_mtim.tv_nsec, run->plan.path);
    for (int i = 0; i < len && i < IMPORT_SOURCE_SIZE; i++) {
        name[i] = name[i] == '\n' ? ' ' : name[i];
    }
    return VERB_DONE;
}

enum verb_exit import_run_file(struct import_run *run)
{
    char source[IMPORT_SOURCE_SIZE];
    struct content content = {0};
    enum verb_exit code = name_source(run, source);
    if (code == VERB_DONE) {
        code = import_run_load(run, source);
    }
    bool started = run->place.mark.version != 0;
    if (code == VERB_DONE && (!started || run->dry_run)) {
        code = look_through(run, &content);
        warn(run, &content);
    }
    if (code != VERB_DONE || run->report.interrupted || run->place.finished) {
        return code;
    }
    if (run->dry_run) {
        print_plan(run, &content);
        return code;
    }
    struct reading reading;
    run->report.start = run->place.mark.offset;
    code = open_reading(run, &reading, run->place.mark);
    if (code == VERB_DONE) {
        code = write_all(run, &reading);
    }
    close_reading(&reading);
    return code;
}
