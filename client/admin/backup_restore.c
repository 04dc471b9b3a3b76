/* `backup restore`: the rows of a backup go to whichever shards own their tokens now. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/admin/ask.h"
#include "client/admin/backup_run.h"
#include "client/admin/backup_sender.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/disk.h"
#include "common/base/hash.h"
#include "common/proto/notify.h"
#include "server/archive/archive_rows.h"

enum {
    STREAMS = 4, /* Shards of the backup that are read side by side. */
    SAVE_MS = 1000,
    WAIT_MS = 20 * 1000,
    NUMBER_SIZE = 24,
    RESUME_SIZE_MAX = 1 << 22,
    SCRIPTS_MAX = 1 << 16,
    HOUR_MS = 3600 * 1000,
};

/* One shard of the backup on its way. */
struct stream {
    struct archive_rows *rows; /* NULL: the slot is free. */
    size_t shard;
    struct sender_batch *batch;
    uint64_t batch_last; /* Last token of the shard that it is for. */
    size_t pending;
    bool ended;
};

struct restore {
    struct backup_run *run;
    struct archive archive;
    struct backup_cluster cluster;
    struct sender sender;
    struct stream streams[STREAMS];
    size_t next;    /* Shard of the backup to be begun next. */
    bool *finished; /* By shard of the backup. */
    bool resumed;
    uint64_t version; /* Over all that are in the backup. */
    uint64_t saved_ms;
    uint64_t keys;
    uint64_t expiring; /* Of them, those that may have expired by the time this ends. */
    uint64_t *scripts; /* Hashes of those that are there. */
    size_t script_count;
    bool failed;
};

static void fail(struct restore *restore, const char *text)
{
    backup_report_say(&restore->run->report, "%s", text);
    restore->failed = true;
}

static enum verb_exit check_files(struct restore *restore)
{
    struct backup_report *report = &restore->run->report;
    for (size_t i = 0; i < restore->archive.shard_count; i++) {
        char name[ARCHIVE_NAME_SIZE];
        const struct archive_shard *shard = &restore->archive.shards[i];
        if (archive_rows_check(restore->run->folder, &restore->archive, shard, name) != STATUS_OK) {
            backup_report_say(report, "%s/%s is missing or damaged; nothing was changed",
                              restore->run->folder, name);
            return VERB_FAILED;
        }
        restore->version = restore->version < shard->version ? shard->version : restore->version;
        if (backup_report_stopped(report)) {
            return VERB_FAILED;
        }
    }
    return VERB_DONE;
}

/* The resume file: a line that says of what and to what, then one per shard that is there. */
static void head_of(const struct restore *restore, char *line, size_t size)
{
    (void)snprintf(line, size, "sherd-restore 1 %s %" PRIu64 " %s\n", restore->archive.cluster,
                   restore->archive.cut_ms, restore->cluster.id);
}

static enum verb_exit load_resume(struct restore *restore)
{
    char head[BACKUP_TEXT_SIZE];
    struct buf bytes;
    if (restore->run->resume == NULL || !disk_exists(restore->run->resume)) {
        return VERB_DONE;
    }
    buf_init(&bytes, RESUME_SIZE_MAX);
    head_of(restore, head, sizeof(head));
    bool good = disk_read_file(restore->run->resume, &bytes) == STATUS_OK;
    buf_append_u8(&bytes, 0);
    good = good && strncmp((const char *)bytes.data, head, strlen(head)) == 0;
    const char *at = (const char *)bytes.data + (good ? strlen(head) : 0);
    while (good && *at != '\0') {
        char *end = NULL;
        unsigned long long index = strtoull(at, &end, 10);
        good = end != at && *end == '\n' && index < restore->archive.shard_count;
        if (good) {
            restore->finished[index] = true;
            at = end + 1;
        }
    }
    buf_deinit(&bytes);
    if (!good) {
        backup_report_say(&restore->run->report,
                          "%s is of another backup, or of another cluster: remove it, or choose "
                          "another file",
                          restore->run->resume);
        return VERB_USAGE;
    }
    restore->resumed = true;
    return VERB_DONE;
}

static bool save_resume(struct restore *restore)
{
    char head[BACKUP_TEXT_SIZE];
    struct buf bytes;
    restore->saved_ms = clock_now_ms();
    if (restore->run->resume == NULL) {
        return true;
    }
    buf_init(&bytes, RESUME_SIZE_MAX);
    head_of(restore, head, sizeof(head));
    buf_append_text(&bytes, head);
    for (size_t i = 0; i < restore->archive.shard_count; i++) {
        if (restore->finished[i]) {
            buf_append_format(&bytes, "%zu\n", i);
        }
    }
    bool good = disk_replace_file(restore->run->resume, buf_slice(&bytes)) == STATUS_OK;
    buf_deinit(&bytes);
    if (!good) {
        backup_report_say(&restore->run->report, "cannot write %s: %s", restore->run->resume,
                          strerror(errno));
        restore->failed = true;
    }
    return good;
}

/* To every shard of the cluster. */
static bool apply_all(struct restore *restore, const struct slice *words, size_t count)
{
    uint64_t token = 0;
    do {
        if (!sender_apply(&restore->sender, token, words, count)) {
            fail(restore, restore->sender.error);
            return false;
        }
        token = backup_cluster_find(&restore->cluster, token)->last + 1;
    } while (token != 0);
    return true;
}

/* Nothing is left in the shards that might stand in the way of what comes. */
static bool empty_cluster(struct restore *restore)
{
    char number[NUMBER_SIZE];
    (void)snprintf(number, sizeof(number), "%" PRIu64, restore->version);
    const struct slice words[] = {slice_str("adopt"), slice_str(number), slice_str("1"),
                                  slice_str("")};
    return apply_all(restore, words, 4);
}

static bool set_notify(struct restore *restore, uint32_t flags)
{
    char text[NOTIFY_TEXT_SIZE];
    notify_format(flags, text);
    const struct slice words[] = {slice_str("notify"), slice_str(text)};
    if (!apply_all(restore, words, 2)) {
        return false;
    }
    /* A router shows what it was told itself. */
    const char *const argv[] = {"CONFIG", "SET", "notify-keyspace-events", text};
    struct sherd_reply *reply = NULL;
    (void)ask_command(restore->run->call, argv, 4, true, &reply);
    sherd_reply_free(reply);
    return true;
}

static void bring_script(void *arg, struct slice source)
{
    struct restore *restore = arg;
    uint64_t hash = hash_bytes(source);
    for (size_t i = 0; i < restore->script_count; i++) {
        if (restore->scripts[i] == hash) {
            return;
        }
    }
    if (restore->failed || restore->script_count == SCRIPTS_MAX) {
        return;
    }
    restore->scripts[restore->script_count++] = hash;
    const struct slice words[] = {slice_str("script_load"), source};
    (void)apply_all(restore, words, 2);
}

static enum verb_exit prepare(struct restore *restore)
{
    struct backup_run *run = restore->run;
    if (!backup_cluster_wait(&restore->cluster, WAIT_MS)) {
        backup_report_say(&run->report, "%s", restore->cluster.error);
        return VERB_FAILED;
    }
    enum verb_exit code = load_resume(restore);
    if (code != VERB_DONE) {
        return code;
    }
    sender_init(&restore->sender, &restore->cluster);
    if (restore->resumed) {
        backup_report_say(&run->report, "going on where it was interrupted");
        return VERB_DONE;
    }
    uint64_t keys = backup_cluster_keys(&restore->cluster);
    if (keys > 0 && !run->empty) {
        backup_report_say(&run->report,
                          "the cluster has %" PRIu64
                          " keys: a backup goes to an empty one; --empty "
                          "removes them all first",
                          keys);
        return VERB_UNSAFE;
    }
    return save_resume(restore) && empty_cluster(restore) ? VERB_DONE : VERB_FAILED;
}

/* Opens the next shard of the backup in a free slot; false: there is none. */
static bool open_stream(struct restore *restore, struct stream *stream)
{
    char scratch[BACKUP_PATH_SIZE + NUMBER_SIZE];
    const struct archive *archive = &restore->archive;
    /* Each shard keeps all scripts: the first has them, whatever else it has. */
    for (; restore->next < archive->shard_count; restore->next++) {
        bool empty = restore->next > 0 && archive->shards[restore->next].keys == 0;
        restore->finished[restore->next] = restore->finished[restore->next] || empty;
        if (!restore->finished[restore->next]) {
            break;
        }
    }
    if (restore->next == archive->shard_count) {
        return false;
    }
    *stream = (struct stream){.shard = restore->next++};
    const struct archive_shard *shard = &archive->shards[stream->shard];
    (void)snprintf(scratch, sizeof(scratch), "%s-%zu", restore->run->scratch, stream->shard);
    enum status status =
        archive_rows_open(restore->run->folder, archive, shard, scratch, &stream->rows);
    if (status == STATUS_OK) {
        status = archive_rows_scripts(stream->rows, bring_script, restore);
    }
    if (status == STATUS_OK && stream->shard == 0) {
        (void)set_notify(restore, archive_rows_state(stream->rows)->machine.notify);
    }
    if (status != STATUS_OK) {
        fail(restore, "the files of a shard cannot be read");
    }
    return status == STATUS_OK && !restore->failed;
}

static bool flush(struct restore *restore, struct stream *stream)
{
    struct sender_batch *batch = stream->batch;
    stream->batch = NULL;
    if (batch == NULL) {
        return true;
    }
    backup_report_pass(&restore->run->report, batch->rows.len);
    if (!sender_put(&restore->sender, batch)) {
        fail(restore, restore->sender.error);
        return false;
    }
    return true;
}

static void add_row(struct restore *restore, struct stream *stream, const struct archive_row *row)
{
    if (stream->batch == NULL) {
        stream->batch = sender_batch_new(row->token, restore->version, &stream->pending);
        stream->batch_last = backup_cluster_find(&restore->cluster, row->token)->last;
    }
    buf_append_bytes(&stream->batch->rows, row->key);
    buf_append_bytes(&stream->batch->rows, row->value);
    if (row->is_key) {
        restore->keys++;
        restore->run->report.done++;
        restore->expiring += row->expire_ms != 0 && row->expire_ms < clock_wall_ms() + HOUR_MS;
    }
}

/* One batch of a shard, or its end. */
static bool pump(struct restore *restore, struct stream *stream)
{
    struct archive_row row;
    while (archive_rows_next(stream->rows, &row)) {
        bool other = stream->batch != NULL && row.token > stream->batch_last;
        if (other && !flush(restore, stream)) {
            return false;
        }
        add_row(restore, stream, &row);
        if (stream->batch->rows.len >= SENDER_BATCH_SIZE) {
            return flush(restore, stream);
        }
    }
    stream->ended = true;
    if (archive_rows_end(stream->rows) != STATUS_OK) {
        fail(restore, "a row of the backup is damaged");
        return false;
    }
    archive_rows_close(stream->rows);
    stream->rows = NULL;
    return flush(restore, stream);
}

static bool finish_stream(struct restore *restore, struct stream *stream)
{
    if (stream->pending > 0 && !sender_drain(&restore->sender)) {
        fail(restore, restore->sender.error);
        return false;
    }
    stream->ended = false;
    restore->finished[stream->shard] = true;
    return clock_now_ms() - restore->saved_ms < SAVE_MS || save_resume(restore);
}

/* The shards side by side, a batch of each in turn: so several shards of the cluster are busy. */
static void send_all(struct restore *restore)
{
    bool busy = true;
    while (busy && !restore->failed && !backup_report_stopped(&restore->run->report)) {
        busy = false;
        for (size_t i = 0; i < STREAMS && !restore->failed; i++) {
            struct stream *stream = &restore->streams[i];
            if (stream->rows == NULL && !open_stream(restore, stream)) {
                continue;
            }
            busy = true;
            if (pump(restore, stream) && stream->ended) {
                (void)finish_stream(restore, stream);
            }
        }
        backup_report_show(&restore->run->report);
    }
    if (!restore->failed && !sender_drain(&restore->sender)) {
        fail(restore, restore->sender.error);
    }
    for (size_t i = 0; i < STREAMS; i++) {
        if (restore->streams[i].rows != NULL) {
            archive_rows_close(restore->streams[i].rows);
        }
        if (restore->streams[i].batch != NULL) {
            buf_deinit(&restore->streams[i].batch->rows);
            free(restore->streams[i].batch);
        }
    }
    (void)save_resume(restore);
}

/* All keys are there, but for those that may have expired. */
static enum verb_exit compare(struct restore *restore)
{
    if (!backup_cluster_wait(&restore->cluster, WAIT_MS)) {
        backup_report_say(&restore->run->report, "%s", restore->cluster.error);
        return VERB_PARTLY;
    }
    const struct backup_report *report = &restore->run->report;
    uint64_t wanted = archive_keys(&restore->archive);
    uint64_t found = backup_cluster_keys(&restore->cluster);
    bool whole = restore->resumed || (found <= wanted && found + restore->expiring >= wanted);
    double seconds = (double)(clock_now_ms() - report->started_ms) / 1000;
    if (report->json) {
        printf("{\"ok\":%s,\"keys_in_backup\":%" PRIu64 ",\"keys_in_cluster\":%" PRIu64
               ",\"bytes\":%" PRIu64 ",\"seconds\":%.3f,\"retries\":%" PRIu64 "}\n",
               whole ? "true" : "false", wanted, found, report->bytes, seconds,
               restore->sender.retries);
    } else {
        printf("%" PRIu64 " keys in the backup, %" PRIu64
               " in the cluster; %.1f MB of rows in %.1f s "
               "(%.1f MB/s)\n",
               wanted, found, (double)report->bytes / 1e6, seconds, backup_report_speed(report));
    }
    if (!whole) {
        backup_report_say(&restore->run->report,
                          "the numbers differ: did anybody write to the cluster meanwhile?");
    }
    return whole ? VERB_DONE : VERB_PARTLY;
}

static enum verb_exit restore_all(struct restore *restore)
{
    struct backup_report *report = &restore->run->report;
    enum verb_exit code = prepare(restore);
    if (code != VERB_DONE) {
        return code;
    }
    report->total = archive_keys(&restore->archive);
    report->started_ms = clock_now_ms();
    for (size_t i = 0; i < restore->archive.shard_count; i++) {
        report->done += restore->finished[i] ? restore->archive.shards[i].keys : 0;
    }
    report->start = report->done;
    send_all(restore);
    if (report->interrupted || restore->failed) {
        backup_report_say(
            report, "%s; %s", restore->failed ? "failed" : "interrupted",
            restore->run->resume == NULL
                ? "start it again with --empty (and with --resume FILE to go on later)"
                : "the same command goes on from here");
        return VERB_PARTLY;
    }
    return compare(restore);
}

enum verb_exit backup_run_restore(struct backup_run *run)
{
    struct restore restore = {.run = run};
    enum verb_exit code = backup_run_open(run, &restore.archive);
    if (code != VERB_DONE) {
        return code;
    }
    restore.finished = calloc(restore.archive.shard_count, sizeof(*restore.finished));
    restore.scripts = calloc(SCRIPTS_MAX, sizeof(*restore.scripts));
    assert(restore.finished != NULL && restore.scripts != NULL);
    backup_report_guard();
    code = check_files(&restore);
    if (code == VERB_DONE) {
        code = backup_cluster_open(run->call, &restore.cluster);
        code = code == VERB_DONE ? restore_all(&restore) : code;
        if (restore.sender.cluster != NULL) {
            sender_deinit(&restore.sender);
        }
        backup_cluster_close(&restore.cluster);
    }
    free(restore.finished);
    free(restore.scripts);
    archive_deinit(&restore.archive);
    return code;
}
