#include "server/archive/archive.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/disk.h"
#include "common/base/hash.h"

enum { LINE_SIZE_MAX = 512, PATH_SIZE_MAX = 8192 };

static const char manifest_name[] = "MANIFEST";
static const char *const kinds[] = {
    [ARCHIVE_DATA] = "data", [ARCHIVE_LOCAL] = "local", [ARCHIVE_STATE] = "state"};

void archive_init(struct archive *archive)
{
    *archive = (struct archive){0};
}

void archive_deinit(struct archive *archive)
{
    free(archive->shards);
    free(archive->files);
    archive_init(archive);
}

/* Room for one more of size bytes. */
static void *grow(void *rows, size_t count, size_t size)
{
    bool full = count == 0 || (count & (count - 1)) == 0; /* A power of two. */
    if (full) {
        rows = realloc(rows, (count == 0 ? 1 : 2 * count) * size);
        assert(rows != NULL);
    }
    return rows;
}

struct archive_shard *archive_add_shard(struct archive *archive)
{
    archive->shards = grow(archive->shards, archive->shard_count, sizeof(*archive->shards));
    struct archive_shard *shard = &archive->shards[archive->shard_count++];
    *shard = (struct archive_shard){.file_first = archive->file_count};
    return shard;
}

struct archive_file *archive_add_file(struct archive *archive)
{
    assert(archive->shard_count > 0);
    archive->files = grow(archive->files, archive->file_count, sizeof(*archive->files));
    struct archive_file *file = &archive->files[archive->file_count++];
    *file = (struct archive_file){0};
    archive->shards[archive->shard_count - 1].file_count++;
    return file;
}

void archive_encode(const struct archive *archive, struct buf *out)
{
    size_t start = out->len;
    buf_append_format(out, "sherd-backup %d\ncluster %s\ncut %" PRIu64 " held %" PRIu64 "\n",
                      ARCHIVE_FORMAT, archive->cluster, archive->cut_ms, archive->held_us);
    for (size_t i = 0; i < archive->shard_count; i++) {
        const struct archive_shard *shard = &archive->shards[i];
        buf_append_format(out,
                          "shard %" PRIu64 " start %" PRIu64 " last %" PRIu64 " ver %" PRIu64
                          " index %" PRIu64 " term %" PRIu64 " version %" PRIu64 " keys %" PRIu64
                          " files %zu\n",
                          shard->id, shard->start, shard->last, shard->ver, shard->index,
                          shard->term, shard->version, shard->keys, shard->file_count);
        for (size_t n = 0; n < shard->file_count; n++) {
            const struct archive_file *file = &archive->files[shard->file_first + n];
            buf_append_format(out, "file %s %s %" PRIu64 " %016" PRIx64 "\n", file->name,
                              kinds[file->kind], file->size, file->sum);
        }
    }
    uint64_t sum = hash_bytes(slice_of(out->data + start, out->len - start));
    buf_append_format(out, "sum %016" PRIx64 "\n", sum);
}

/* What is left of the text. */
struct lines {
    struct slice rest;
    char line[LINE_SIZE_MAX];
};

static bool next_line(struct lines *lines)
{
    const uint8_t *end =
        lines->rest.len == 0 ? NULL : memchr(lines->rest.data, '\n', lines->rest.len);
    size_t len = end == NULL ? 0 : (size_t)(end - lines->rest.data);
    if (end == NULL || len >= sizeof(lines->line) || memchr(lines->rest.data, '\0', len) != NULL) {
        return false;
    }
    memcpy(lines->line, lines->rest.data, len);
    lines->line[len] = '\0';
    lines->rest = slice_of(lines->rest.data + len + 1, lines->rest.len - len - 1);
    return true;
}

/* A name as we make them: it stays in the folder. */
static bool good_name(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-/.";
    return name[0] != '/' && name[0] != '\0' && strspn(name, allowed) == strlen(name) &&
           strstr(name, "..") == NULL;
}

static bool read_file(struct lines *lines, struct archive *archive)
{
    struct archive_file file = {0};
    char kind[8];
    int end = 0;
    if (!next_line(lines) ||
        sscanf(lines->line, "file %63s %7s %" SCNu64 " %16" SCNx64 "%n", file.name, kind,
               &file.size, &file.sum, &end) != 4 ||
        lines->line[end] != '\0' || !good_name(file.name)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kind, kinds[i]) == 0) {
            file.kind = (enum archive_kind)i;
            *archive_add_file(archive) = file;
            return true;
        }
    }
    return false;
}

static bool read_shard(struct lines *lines, struct archive *archive)
{
    struct archive_shard shard = {0};
    size_t files = 0;
    int end = 0;
    int got =
        sscanf(lines->line,
               "shard %" SCNu64 " start %" SCNu64 " last %" SCNu64 " ver %" SCNu64 " index %" SCNu64
               " term %" SCNu64 " version %" SCNu64 " keys %" SCNu64 " files %zu%n",
               &shard.id, &shard.start, &shard.last, &shard.ver, &shard.index, &shard.term,
               &shard.version, &shard.keys, &files, &end);
    if (got != 9 || lines->line[end] != '\0' || files > ARCHIVE_FILES_MAX ||
        archive->shard_count >= ARCHIVE_SHARDS_MAX) {
        return false;
    }
    shard.file_first = archive->file_count;
    *archive_add_shard(archive) = shard;
    for (size_t i = 0; i < files; i++) {
        if (archive->file_count >= ARCHIVE_FILES_MAX || !read_file(lines, archive)) {
            return false;
        }
    }
    return true;
}

/* Each begins behind the one before; together they are the whole ring. */
static bool covers(const struct archive *archive)
{
    for (size_t i = 0; i < archive->shard_count; i++) {
        const struct archive_shard *shard = &archive->shards[i];
        uint64_t start = i == 0 ? 0 : archive->shards[i - 1].last + 1;
        bool behind = i == 0 || start != 0;
        if (!behind || shard->start != start || shard->last < shard->start) {
            return false;
        }
    }
    return archive->shard_count > 0 && archive->shards[archive->shard_count - 1].last == UINT64_MAX;
}

/* The last line; its sum is that of what is before it. */
static bool good_sum(struct slice bytes)
{
    enum { SUM_LINE = 4 + 16 + 1 };
    char line[SUM_LINE + 1] = {0};
    if (bytes.len < SUM_LINE) {
        return false;
    }
    uint64_t sum = hash_bytes(slice_of(bytes.data, bytes.len - SUM_LINE));
    (void)snprintf(line, sizeof(line), "sum %016" PRIx64 "\n", sum);
    return memcmp(bytes.data + bytes.len - SUM_LINE, line, SUM_LINE) == 0;
}

static bool read_body(struct lines *lines, struct archive *archive)
{
    int end = 0;
    if (!next_line(lines) || sscanf(lines->line, "cluster %32s%n", archive->cluster, &end) != 1 ||
        lines->line[end] != '\0' || !next_line(lines) ||
        sscanf(lines->line, "cut %" SCNu64 " held %" SCNu64 "%n", &archive->cut_ms,
               &archive->held_us, &end) != 2 ||
        lines->line[end] != '\0') {
        return false;
    }
    while (next_line(lines) && strncmp(lines->line, "sum ", 4) != 0) {
        if (!read_shard(lines, archive)) {
            return false;
        }
    }
    return strncmp(lines->line, "sum ", 4) == 0 && lines->rest.len == 0 && covers(archive);
}

enum status archive_decode(struct slice bytes, struct archive *archive)
{
    struct lines lines = {.rest = bytes};
    int format = 0;
    int end = 0;
    archive_init(archive);
    if (!next_line(&lines) || sscanf(lines.line, "sherd-backup %9d%n", &format, &end) != 1 ||
        lines.line[end] != '\0') {
        return STATUS_CORRUPT;
    }
    if (format > ARCHIVE_FORMAT) {
        return STATUS_NEWER_FORMAT;
    }
    if (good_sum(bytes) && read_body(&lines, archive)) {
        return STATUS_OK;
    }
    archive_deinit(archive);
    return STATUS_CORRUPT;
}

void archive_path(const char *folder, const char *name, struct buf *out)
{
    buf_append_format(out, "%s/%s", folder, name);
    buf_append_u8(out, 0);
}

enum status archive_read(const char *folder, struct archive *archive)
{
    struct buf path;
    struct buf bytes;
    buf_init(&path, PATH_SIZE_MAX);
    buf_init(&bytes, ARCHIVE_SIZE_MAX);
    archive_path(folder, manifest_name, &path);
    enum status status = disk_exists((const char *)path.data)
                             ? disk_read_file((const char *)path.data, &bytes)
                             : STATUS_NOT_FOUND;
    if (status == STATUS_OK) {
        status = archive_decode(buf_slice(&bytes), archive);
    }
    buf_deinit(&path);
    buf_deinit(&bytes);
    return status;
}

enum status archive_write(const char *folder, const struct archive *archive)
{
    struct buf path;
    struct buf bytes;
    buf_init(&path, PATH_SIZE_MAX);
    buf_init(&bytes, ARCHIVE_SIZE_MAX);
    archive_path(folder, manifest_name, &path);
    archive_encode(archive, &bytes);
    enum status status = disk_replace_file((const char *)path.data, buf_slice(&bytes));
    buf_deinit(&path);
    buf_deinit(&bytes);
    return status;
}

uint64_t archive_keys(const struct archive *archive)
{
    uint64_t keys = 0;
    for (size_t i = 0; i < archive->shard_count; i++) {
        keys += archive->shards[i].keys;
    }
    return keys;
}

uint64_t archive_size(const struct archive *archive)
{
    uint64_t size = 0;
    for (size_t i = 0; i < archive->file_count; i++) {
        size += archive->files[i].size;
    }
    return size;
}
