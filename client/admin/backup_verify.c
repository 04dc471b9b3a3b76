/* `backup verify`: is everything there, and readable? Asks no server. */

#include <inttypes.h>
#include <string.h>

#include "client/admin/backup_run.h"
#include "common/base/clock.h"
#include "server/archive/archive_rows.h"

struct verify {
    struct backup_run *run;
    struct archive archive;
    uint64_t keys;
    uint64_t rows;
    uint64_t scripts;
    size_t faults;
};

static void count_script(void *arg, struct slice source)
{
    struct verify *verify = arg;
    (void)source;
    verify->scripts++;
}

static void fault(struct verify *verify, const struct archive_shard *shard, const char *text)
{
    verify->faults++;
    backup_report_say(&verify->run->report, "shard %" PRIu64 ": %s", shard->id, text);
}

/* Every row once; the keys of each database as the shard had counted them. */
static enum status count_rows(struct verify *verify, struct archive_rows *rows, bool *same)
{
    uint64_t keys[MACHINE_DATABASES] = {0};
    struct archive_row row;
    while (archive_rows_next(rows, &row)) {
        keys[row.db] += row.is_key ? 1 : 0;
        verify->keys += row.is_key ? 1 : 0;
        verify->rows++;
    }
    *same = memcmp(keys, archive_rows_state(rows)->machine.keys, sizeof(keys)) == 0;
    enum status status = archive_rows_end(rows);
    return status == STATUS_OK ? archive_rows_scripts(rows, count_script, verify) : status;
}

static void verify_shard(struct verify *verify, const struct archive_shard *shard)
{
    char name[ARCHIVE_NAME_SIZE];
    char text[2 * ARCHIVE_NAME_SIZE];
    struct archive_rows *rows = NULL;
    const char *folder = verify->run->folder;
    enum status status = archive_rows_check(folder, &verify->archive, shard, name);
    if (status != STATUS_OK) {
        snprintf(text, sizeof(text), "%s is missing or damaged", name);
        fault(verify, shard, text);
        return;
    }
    status = archive_rows_open(folder, &verify->archive, shard, verify->run->scratch, &rows);
    if (status != STATUS_OK) {
        snprintf(text, sizeof(text), "its files cannot be read: %s", status_text(status));
        fault(verify, shard, text);
        return;
    }
    bool same = false;
    status = count_rows(verify, rows, &same);
    if (status != STATUS_OK) {
        fault(verify, shard, "a row is damaged");
    } else if (!same) {
        fault(verify, shard, "it does not have as many keys as its state says");
    }
    archive_rows_close(rows);
}

enum verb_exit backup_run_open(struct backup_run *run, struct archive *archive)
{
    const char *folder = run->folder;
    struct backup_report *report = &run->report;
    enum status status = archive_read(folder, archive);
    if (status == STATUS_NOT_FOUND) {
        backup_report_say(
            report, "%s has no MANIFEST: it is no backup, or one that was not finished", folder);
    } else if (status == STATUS_NEWER_FORMAT) {
        backup_report_say(report, "%s was written by a newer sherd-admin", folder);
    } else if (status != STATUS_OK) {
        backup_report_say(report, "%s/MANIFEST is damaged", folder);
    }
    return status == STATUS_OK ? VERB_DONE : VERB_FAILED;
}

static void print_result(const struct verify *verify)
{
    const struct archive *archive = &verify->archive;
    double seconds = (double)(clock_now_ms() - verify->run->report.started_ms) / 1000;
    if (verify->run->report.json) {
        printf("{\"ok\":%s,\"faults\":%zu,\"cluster\":\"%s\",\"cut_ms\":%" PRIu64
               ",\"shards\":%zu,\"keys\":%" PRIu64 ",\"rows\":%" PRIu64 ",\"scripts\":%" PRIu64
               ",\"bytes\":%" PRIu64 "}\n",
               verify->faults == 0 ? "true" : "false", verify->faults, archive->cluster,
               archive->cut_ms, archive->shard_count, verify->keys, verify->rows, verify->scripts,
               archive_size(archive));
    } else if (verify->faults == 0) {
        printf("good: %zu shards, %" PRIu64 " keys, %" PRIu64 " rows, %.1f MB, read in %.1f s\n",
               archive->shard_count, verify->keys, verify->rows,
               (double)archive_size(archive) / 1e6, seconds);
    } else {
        printf("damaged: %zu faults\n", verify->faults);
    }
}

enum verb_exit backup_run_verify(struct backup_run *run)
{
    struct verify verify = {.run = run};
    enum verb_exit code = backup_run_open(run, &verify.archive);
    if (code != VERB_DONE) {
        return code;
    }
    struct backup_report *report = &run->report;
    backup_report_guard();
    report->total = archive_size(&verify.archive);
    for (size_t i = 0; i < verify.archive.shard_count && !backup_report_stopped(report); i++) {
        const struct archive_shard *shard = &verify.archive.shards[i];
        verify_shard(&verify, shard);
        for (size_t n = 0; n < shard->file_count; n++) {
            backup_report_pass(report, verify.archive.files[shard->file_first + n].size);
        }
        report->done = report->bytes;
        backup_report_show(report);
    }
    if (report->interrupted) {
        backup_report_say(report, "interrupted");
        code = VERB_FAILED;
    } else {
        print_result(&verify);
        code = verify.faults == 0 ? VERB_DONE : VERB_FAILED;
    }
    archive_deinit(&verify.archive);
    return code;
}
