/* `backup create`: a cut through all shards, then their files, node by node. */

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "client/admin/backup_cluster.h"
#include "client/admin/backup_run.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/disk.h"
#include "common/base/hash.h"
#include "common/base/number.h"
#include "common/base/rand.h"
#include "server/archive/archive.h"

enum {
    CUT_TRIES = 20,
    CUT_PAUSE_MS = 250,
    KEEP_MS = 5000,
    BLOCK_SIZE = 1 << 20, /* As manifest_measure() takes it. */
    WINDOW = 4,           /* Blocks under way. */
    NUMBER_SIZE = 24,
    WORDS = 6,
};

struct create {
    struct backup_run *run;
    struct backup_cluster cluster;
    struct archive archive;
    char id[NUMBER_SIZE];
    uint64_t kept_ms;
    int tries;           /* Of the cut. */
    uint64_t paused_us;  /* The longest that writes waited, in all of them. */
    enum verb_exit code; /* Of what failed. */
};

static void fail(struct create *create, enum verb_exit code)
{
    create->code = create->code == VERB_DONE ? code : create->code;
}

static bool tell(struct create *create, const char *word)
{
    const char *words[] = {word, create->id};
    return backup_cluster_tell(&create->cluster, words, 2);
}

static enum verb_exit begin(struct create *create)
{
    uint64_t id = 0;
    rand_os(&id, sizeof(id));
    snprintf(create->id, sizeof(create->id), "%" PRIu64, id | 1);
    if (tell(create, "begin")) {
        return VERB_DONE;
    }
    backup_report_say(&create->run->report, "%s", create->cluster.error);
    return strstr(create->cluster.error, "BUSY") != NULL ? VERB_UNSAFE : VERB_FAILED;
}

/* One try. All fences are up between the last answer to FENCE and the first RELEASE: that moment
 * is the cut. */
static bool cut_once(struct create *create)
{
    char hold[NUMBER_SIZE];
    snprintf(hold, sizeof(hold), "%ld", create->run->pause_ms);
    const char *words[] = {"fence", create->id, hold};
    create->archive.cut_ms = clock_wall_ms();
    bool fenced = backup_cluster_learn(&create->cluster, words, 3);
    char why[BACKUP_TEXT_SIZE];
    memcpy(why, create->cluster.error, sizeof(why));
    bool released = tell(create, "release");
    create->archive.held_us = (uint64_t)create->cluster.longest;
    create->tries++;
    create->paused_us =
        create->paused_us < create->archive.held_us ? create->archive.held_us : create->paused_us;
    if (!fenced) {
        memcpy(create->cluster.error, why, sizeof(why));
    }
    return fenced && released;
}

static enum verb_exit cut(struct create *create)
{
    struct backup_report *report = &create->run->report;
    for (int i = 0; i < CUT_TRIES && !backup_report_stopped(report); i++) {
        if (cut_once(create)) {
            snprintf(create->archive.cluster, sizeof(create->archive.cluster), "%s",
                     create->cluster.id);
            return VERB_DONE;
        }
        (void)poll(NULL, 0, CUT_PAUSE_MS);
    }
    backup_report_say(report, "no consistent cut came about: %s", create->cluster.error);
    return VERB_FAILED;
}

static void keep(struct create *create)
{
    uint64_t now_ms = clock_now_ms();
    if (now_ms - create->kept_ms >= KEEP_MS) {
        create->kept_ms = now_ms;
        (void)tell(create, "keep"); /* A node that is lost is met when its shards come. */
    }
}

/* A file being written. */
struct sink {
    struct disk_file *file;
    uint64_t offset;
    uint64_t sum;
};

static enum status sink_open(struct create *create, const char *name, struct sink *sink)
{
    struct buf path;
    buf_init(&path, 2 * BACKUP_PATH_SIZE);
    archive_path(create->run->folder, name, &path);
    *sink = (struct sink){0};
    enum status status = disk_open((const char *)path.data, DISK_CREATE, &sink->file);
    buf_deinit(&path);
    return status;
}

static enum status sink_write(struct sink *sink, struct slice bytes)
{
    enum status status = disk_write(sink->file, sink->offset, bytes.data, bytes.len);
    sink->offset += bytes.len;
    sink->sum = hash_bytes_seeded(bytes, sink->sum);
    return status;
}

static enum status sink_close(struct sink *sink)
{
    enum status status = disk_sync(sink->file);
    disk_close(sink->file);
    return status;
}

static void tell_io(struct create *create, const char *name)
{
    backup_report_say(&create->run->report, "cannot write %s/%s: %s", create->run->folder, name,
                      strerror(errno));
    fail(create, VERB_FAILED);
}

static void tell_node(struct create *create, const struct backup_shard *shard, const char *text)
{
    const struct backup_node *node = &create->cluster.nodes[shard->node];
    backup_report_say(&create->run->report, "shard %" PRIu64 ", node %" PRIu64 " at %s: %s",
                      shard->id, node->id, node->address, text);
    fail(create, VERB_FAILED);
}

static bool ask_block(struct sherd *sherd,
                      const struct create *create,
                      uint64_t shard,
                      uint64_t offset,
                      uint64_t size)
{
    char numbers[3][NUMBER_SIZE];
    uint64_t len = size - offset < BLOCK_SIZE ? size - offset : BLOCK_SIZE;
    snprintf(numbers[0], NUMBER_SIZE, "%" PRIu64, shard);
    snprintf(numbers[1], NUMBER_SIZE, "%" PRIu64, offset);
    snprintf(numbers[2], NUMBER_SIZE, "%" PRIu64, len);
    const char *argv[] = {"SHERD",    "BACKUP",   "read",    create->id,
                          numbers[0], numbers[1], numbers[2]};
    return sherd_send(sherd, argv, NULL, sizeof(argv) / sizeof(argv[0])) == 0;
}

/* The bytes of the file that was made last, some blocks under way at a time. */
static bool fetch(struct create *create,
                  const struct backup_shard *shard,
                  uint64_t size,
                  struct sink *sink)
{
    struct sherd *sherd = create->cluster.nodes[shard->node].sherd;
    uint64_t asked = 0;
    size_t under_way = 0;
    while (sink->offset < size) {
        while (asked < size && under_way < WINDOW) {
            (void)ask_block(sherd, create, shard->id, asked, size); /* The reply says it too. */
            asked += size - asked < BLOCK_SIZE ? size - asked : BLOCK_SIZE;
            under_way++;
        }
        struct sherd_reply *reply = sherd_receive(sherd);
        under_way--;
        bool good = reply != NULL && reply->type == SHERD_STRING && reply->len > 0;
        if (!good) {
            tell_node(create, shard, reply == NULL ? sherd_error(sherd) : reply->text);
        } else if (sink_write(sink, slice_of(reply->text, reply->len)) != STATUS_OK) {
            tell_io(create, "a file");
            good = false;
        } else {
            backup_report_pass(&create->run->report, reply->len);
        }
        sherd_reply_free(reply);
        backup_report_show(&create->run->report);
        if (!good || backup_report_stopped(&create->run->report)) {
            return false;
        }
    }
    return true;
}

static uint64_t field(const struct sherd_reply *map, const char *name)
{
    const struct sherd_reply *value = sherd_reply_field(map, name);
    uint64_t number = 0;
    bool read = value != NULL && value->text != NULL &&
                number_parse_u64(slice_of(value->text, value->len), &number);
    return read ? number : 0;
}

static bool write_file(struct create *create,
                       const struct backup_shard *shard,
                       const struct sherd_reply *made,
                       size_t number)
{
    struct archive_file file = {
        .kind = field(made, "family") == STORE_DATA ? ARCHIVE_DATA : ARCHIVE_LOCAL,
        .size = field(made, "size"),
        .sum = field(made, "sum")};
    snprintf(file.name, sizeof(file.name), "shard-%" PRIu64 "/%s-%zu.sst", shard->id,
             file.kind == ARCHIVE_DATA ? "data" : "local", number);
    struct sink sink;
    if (file.size == 0) {
        return true; /* No rows, no file. */
    }
    if (sink_open(create, file.name, &sink) != STATUS_OK) {
        tell_io(create, file.name);
        return false;
    }
    bool good = fetch(create, shard, file.size, &sink);
    if (sink_close(&sink) != STATUS_OK && good) {
        tell_io(create, file.name);
        good = false;
    }
    if (good && sink.sum != file.sum) {
        tell_node(create, shard, "a file came damaged");
        good = false;
    }
    if (good) {
        *archive_add_file(&create->archive) = file;
    }
    return good;
}

static bool write_state(struct create *create, const struct backup_shard *shard)
{
    struct archive_file file = {.kind = ARCHIVE_STATE, .size = shard->state_len};
    snprintf(file.name, sizeof(file.name), "shard-%" PRIu64 "/state", shard->id);
    struct sink sink;
    if (sink_open(create, file.name, &sink) != STATUS_OK) {
        tell_io(create, file.name);
        return false;
    }
    enum status status = sink_write(&sink, slice_of(shard->state, shard->state_len));
    enum status closed = sink_close(&sink);
    if (status != STATUS_OK || closed != STATUS_OK) {
        tell_io(create, file.name);
        return false;
    }
    file.sum = sink.sum;
    *archive_add_file(&create->archive) = file;
    return true;
}

static struct sherd_reply *next_file(struct create *create, const struct backup_shard *shard)
{
    struct sherd *sherd = create->cluster.nodes[shard->node].sherd;
    char number[NUMBER_SIZE];
    snprintf(number, sizeof(number), "%" PRIu64, shard->id);
    struct sherd_reply *reply =
        sherd_commandv(sherd, "SHERD", "BACKUP", "next", create->id, number, NULL);
    if (reply == NULL || reply->type == SHERD_ERROR) {
        tell_node(create, shard, reply == NULL ? sherd_error(sherd) : reply->text);
        sherd_reply_free(reply);
        return NULL;
    }
    return reply;
}

static bool write_shard(struct create *create, const struct backup_shard *shard)
{
    char name[ARCHIVE_NAME_SIZE];
    struct buf path;
    struct archive_shard *row = archive_add_shard(&create->archive);
    row->id = shard->id;
    row->start = shard->start;
    row->last = shard->last;
    row->ver = shard->ver;
    row->index = shard->index;
    row->term = shard->term;
    row->version = shard->version;
    row->keys = shard->keys;
    snprintf(name, sizeof(name), "shard-%" PRIu64, shard->id);
    buf_init(&path, 2 * BACKUP_PATH_SIZE);
    archive_path(create->run->folder, name, &path);
    enum status made = disk_make_folder((const char *)path.data);
    bool good = made == STATUS_OK && write_state(create, shard);
    if (made != STATUS_OK) {
        tell_io(create, name);
    }
    bool last = false;
    for (size_t number = 0; good && !last; number++) {
        struct sherd_reply *reply = next_file(create, shard);
        good = reply != NULL && write_file(create, shard, reply, number);
        last = good && field(reply, "last") != 0;
        sherd_reply_free(reply);
        keep(create);
    }
    if (good && disk_sync_folder((const char *)path.data) != STATUS_OK) {
        tell_io(create, name);
        good = false;
    }
    buf_deinit(&path);
    return good;
}

static enum verb_exit write_shards(struct create *create)
{
    struct backup_report *report = &create->run->report;
    report->total = backup_cluster_keys(&create->cluster) + create->cluster.shard_count;
    for (size_t i = 0; i < create->cluster.shard_count; i++) {
        const struct backup_shard *shard = &create->cluster.shards[i];
        if (backup_report_stopped(report) || !write_shard(create, shard)) {
            return report->interrupted ? VERB_FAILED : create->code;
        }
        report->done += shard->keys + 1;
    }
    if (archive_write(create->run->folder, &create->archive) != STATUS_OK) {
        tell_io(create, "MANIFEST");
        return VERB_FAILED;
    }
    return VERB_DONE;
}

static void unlink_file(struct create *create, const char *name, bool folder)
{
    struct buf path;
    buf_init(&path, 2 * BACKUP_PATH_SIZE);
    archive_path(create->run->folder, name, &path);
    enum status status =
        folder ? disk_remove_folder((const char *)path.data) : disk_unlink((const char *)path.data);
    (void)status; /* It may never have been made. */
    buf_deinit(&path);
}

/* Of what is not whole nothing is left; what was in the folder before was nothing. */
static void remove_all(struct create *create)
{
    char name[ARCHIVE_NAME_SIZE];
    for (size_t i = 0; i < create->archive.shard_count; i++) {
        const struct archive_shard *shard = &create->archive.shards[i];
        for (size_t n = 0; n < shard->file_count; n++) {
            unlink_file(create, create->archive.files[shard->file_first + n].name, false);
        }
        /* The one that was being written. */
        for (size_t kind = 0; kind < 2; kind++) {
            snprintf(name, sizeof(name), "shard-%" PRIu64 "/%s-%zu.sst", shard->id,
                     kind == 0 ? "data" : "local",
                     shard->file_count == 0 ? 0 : shard->file_count - 1);
            unlink_file(create, name, false);
        }
        snprintf(name, sizeof(name), "shard-%" PRIu64 "/state", shard->id);
        unlink_file(create, name, false);
        snprintf(name, sizeof(name), "shard-%" PRIu64, shard->id);
        unlink_file(create, name, true);
    }
    enum status status = disk_remove_folder(create->run->folder);
    (void)status;
}

static void count_name(void *arg, const char *name)
{
    size_t *count = arg;
    (void)name;
    ++*count;
}

static enum verb_exit make_folder(struct backup_run *run)
{
    size_t count = 0;
    enum status status = disk_make_folder(run->folder);
    if (status == STATUS_OK) {
        status = disk_list(run->folder, count_name, &count);
    }
    if (status != STATUS_OK) {
        backup_report_say(&run->report, "cannot make the folder %s: %s", run->folder,
                          strerror(errno));
        return VERB_FAILED;
    }
    if (count > 0) {
        backup_report_say(&run->report, "%s is not empty: choose a new folder", run->folder);
        return VERB_USAGE;
    }
    return VERB_DONE;
}

static void print_result(const struct create *create)
{
    const struct archive *archive = &create->archive;
    const struct backup_report *report = &create->run->report;
    double seconds = (double)(clock_now_ms() - report->started_ms) / 1000;
    double paused_ms = (double)create->paused_us / 1000;
    if (report->json) {
        printf("{\"shards\":%zu,\"keys\":%" PRIu64 ",\"bytes\":%" PRIu64
               ",\"files\":%zu"
               ",\"cut_ms\":%" PRIu64 ",\"tries\":%d,\"pause_ms\":%.3f,\"seconds\":%.3f}\n",
               archive->shard_count, archive_keys(archive), archive_size(archive),
               archive->file_count, archive->cut_ms, create->tries, paused_ms, seconds);
        return;
    }
    printf("%zu shards, %" PRIu64
           " keys, %.1f MB in %.1f s (%.1f MB/s); writes waited for %.1f "
           "ms\n",
           archive->shard_count, archive_keys(archive), (double)archive_size(archive) / 1e6,
           seconds, backup_report_speed(report), paused_ms);
}

enum verb_exit backup_run_create(struct backup_run *run)
{
    struct create create = {.run = run};
    archive_init(&create.archive);
    enum verb_exit code = backup_cluster_open(run->call, &create.cluster);
    if (code == VERB_DONE) {
        code = make_folder(run);
    }
    if (code == VERB_DONE) {
        backup_report_guard();
        code = begin(&create);
        code = code == VERB_DONE ? cut(&create) : code;
        code = code == VERB_DONE ? write_shards(&create) : code;
        (void)tell(&create, "end");
        if (code == VERB_DONE) {
            print_result(&create);
        } else {
            remove_all(&create);
        }
        if (run->report.interrupted) {
            backup_report_say(&run->report, "interrupted: nothing of this backup is left");
        }
    }
    archive_deinit(&create.archive);
    backup_cluster_close(&create.cluster);
    return code;
}
