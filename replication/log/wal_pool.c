#include "replication/log/wal_pool.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "common/base/rand.h"

enum { NAME_SIZE = 32, SEGMENT_NAME_LEN = 20, SPARE_NAME_LEN = 14, HEX_LEN_MAX = 16 };

static char *path_of(const struct wal_pool *pool, const char *name)
{
    size_t size = strlen(pool->dir) + strlen(name) + 2;
    char *path = malloc(size);
    assert(path != NULL);
    int len = snprintf(path, size, "%s/%s", pool->dir, name);
    assert(len > 0 && (size_t)len < size);
    return path;
}

static char *segment_path(const struct wal_pool *pool, uint64_t sequence)
{
    char name[NAME_SIZE];
    (void)snprintf(name, sizeof(name), "%016" PRIx64 ".log", sequence);
    return path_of(pool, name);
}

static char *spare_path(const struct wal_pool *pool, uint32_t spare)
{
    char name[NAME_SIZE];
    (void)snprintf(name, sizeof(name), "spare-%08" PRIx32, spare);
    return path_of(pool, name);
}

/* Exactly len lower-case hex digits. */
static bool parse_hex(const char *text, size_t len, uint64_t *value)
{
    assert(len <= HEX_LEN_MAX);
    uint64_t got = 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        bool digit = c >= '0' && c <= '9';
        if (!digit && (c < 'a' || c > 'f')) {
            return false;
        }
        got = got << 4 | (uint64_t)(digit ? c - '0' : c - 'a' + 10);
    }
    *value = got;
    return true;
}

struct listing {
    struct wal_pool *pool;
    uint64_t *sequences;
    size_t count;
    size_t size;
    uint32_t *spares;
    size_t spares_count;
    size_t spares_size;
};

static void on_name(void *arg, const char *name)
{
    struct listing *listing = arg;
    uint64_t value = 0;
    size_t len = strlen(name);
    if (len == SEGMENT_NAME_LEN && strcmp(name + HEX_LEN_MAX, ".log") == 0 &&
        parse_hex(name, HEX_LEN_MAX, &value)) {
        if (listing->count == listing->size) {
            listing->size = listing->size * 2 + 16;
            listing->sequences =
                realloc(listing->sequences, listing->size * sizeof(*listing->sequences));
            assert(listing->sequences != NULL);
        }
        listing->sequences[listing->count++] = value;
    } else if (len == SPARE_NAME_LEN && strncmp(name, "spare-", 6) == 0 &&
               parse_hex(name + 6, 8, &value)) {
        if (listing->spares_count == listing->spares_size) {
            listing->spares_size = listing->spares_size * 2 + 16;
            listing->spares =
                realloc(listing->spares, listing->spares_size * sizeof(*listing->spares));
            assert(listing->spares != NULL);
        }
        listing->spares[listing->spares_count++] = (uint32_t)value;
    } else {
        log_warn("log.unknown_file", "folder=%s name=\"%s\"", listing->pool->dir, name);
    }
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* A spare that was cut short by a crash is as good as another: it is filled when it is used. */
static enum status adopt_spare(struct wal_pool *pool, uint32_t spare)
{
    pool->spare_next = spare >= pool->spare_next ? spare + 1 : pool->spare_next;
    char *path = spare_path(pool, spare);
    struct disk_file *file;
    uint64_t size = 0;
    enum status status = disk_open(path, DISK_READ, &file);
    if (status == STATUS_OK) {
        status = disk_size(file, &size);
        disk_close(file);
    }
    if (status == STATUS_OK && size <= pool->segment_size &&
        pool->spares_count < pool->spares_max) {
        pool->spares[pool->spares_count++] = spare;
    } else if (status == STATUS_OK) {
        status = disk_unlink(path);
    }
    free(path);
    return status;
}

static enum status check_gap(struct wal_pool *pool, uint64_t expected, uint64_t found)
{
    if (expected == found && found > 0 && found < UINT32_MAX) {
        return STATUS_OK;
    }
    char *path = segment_path(pool, expected);
    enum status status =
        wal_segment_report(path, 0, "the segment is missing, later ones are there", STATUS_CORRUPT);
    free(path);
    return status;
}

static enum status open_segment(struct wal_pool *pool, uint64_t sequence)
{
    char *path = segment_path(pool, sequence);
    struct wal_segment *segment;
    enum status status = wal_segment_open(path, sequence, &segment);
    free(path);
    if (status != STATUS_OK) {
        return status;
    }
    struct wal_segment *before = wal_pool_newest(pool);
    wal_pool_push(pool, segment);
    if (before == NULL) {
        return STATUS_OK;
    }
    before->end = segment->header.previous_end;
    if (before->end < WAL_SEGMENT_START || before->end > before->filled ||
        before->end % WAL_RECORD_ALIGN != 0) {
        return wal_segment_report(before->path, before->filled,
                                  "shorter than the next segment says", STATUS_CORRUPT);
    }
    return STATUS_OK;
}

static enum status open_all(struct wal_pool *pool, struct listing *listing)
{
    if (listing->count > 0) {
        qsort(listing->sequences, listing->count, sizeof(uint64_t), compare_u64);
    }
    for (size_t i = 0; i < listing->count; i++) {
        enum status status = check_gap(pool, listing->sequences[0] + i, listing->sequences[i]);
        if (status == STATUS_OK) {
            status = open_segment(pool, listing->sequences[i]);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    if (listing->spares_count > 0) {
        qsort(listing->spares, listing->spares_count, sizeof(uint32_t), compare_u32);
    }
    for (size_t i = 0; i < listing->spares_count; i++) {
        enum status status = adopt_spare(pool, listing->spares[i]);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

enum status wal_pool_open(struct wal_pool *pool, const char *dir, const struct wal_options *options)
{
    uint64_t pages = (options->segment_size + WAL_SEGMENT_PAGE_SIZE - 1) / WAL_SEGMENT_PAGE_SIZE;
    pages = pages < 2 ? 2 : pages;
    *pool = (struct wal_pool){.dir = strdup(dir),
                              .segment_size = pages * WAL_SEGMENT_PAGE_SIZE,
                              .spares_max = options->spares_max};
    assert(pool->dir != NULL);
    if (pool->spares_max > WAL_POOL_SPARES_MAX) {
        pool->spares_max = WAL_POOL_SPARES_MAX;
    }
    struct listing listing = {.pool = pool};
    enum status status = disk_make_folder(dir);
    if (status == STATUS_OK) {
        status = disk_list(dir, on_name, &listing);
    }
    if (status == STATUS_OK) {
        status = open_all(pool, &listing);
    }
    free(listing.sequences);
    free(listing.spares);
    if (status != STATUS_OK) {
        wal_pool_close(pool);
    }
    return status;
}

void wal_pool_close(struct wal_pool *pool)
{
    for (size_t i = 0; i < pool->count; i++) {
        wal_segment_close(pool->segments[i]);
    }
    free(pool->segments);
    free(pool->dir);
    *pool = (struct wal_pool){0};
}

struct wal_segment *wal_pool_find(const struct wal_pool *pool, uint32_t segment)
{
    if (pool->count == 0 || segment < pool->segments[0]->header.sequence) {
        return NULL;
    }
    uint64_t at = segment - pool->segments[0]->header.sequence;
    return at < pool->count ? pool->segments[at] : NULL;
}

uint64_t wal_pool_bytes(const struct wal_pool *pool)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < pool->count; i++) {
        bytes += pool->segments[i]->filled;
    }
    return bytes;
}

/* A segment gets its name after its header is on disk, and the name is on disk before the first
 * record is written: so records are never in a file that a crash can take away. */
static enum status make_at(struct wal_pool *pool,
                           const char *spare,
                           const struct wal_header *header,
                           uint64_t size_max,
                           struct wal_segment **segment)
{
    struct wal_segment *made;
    enum status status = wal_segment_make(spare, header, size_max, &made);
    if (status != STATUS_OK) {
        return status;
    }
    char *path = segment_path(pool, header->sequence);
    status = disk_rename(spare, path);
    if (status == STATUS_OK) {
        status = disk_sync_folder(pool->dir);
    }
    wal_segment_set_path(made, path);
    free(path);
    if (status != STATUS_OK) {
        wal_segment_close(made);
        return status;
    }
    *segment = made;
    return STATUS_OK;
}

enum status wal_pool_make(struct wal_pool *pool,
                          size_t room,
                          uint64_t batch_first,
                          struct wal_segment **segment)
{
    const struct wal_segment *newest = wal_pool_newest(pool);
    struct wal_header header = {.sequence = 1, .batch_first = batch_first};
    if (newest != NULL) {
        header.sequence = newest->header.sequence + 1;
        header.previous_end = newest->end;
    }
    rand_os(&header.salt, sizeof(header.salt));
    uint64_t needed = WAL_SEGMENT_START + WAL_RECORD_BATCH_SIZE + (uint64_t)room;
    uint64_t pages = (needed + WAL_SEGMENT_PAGE_SIZE - 1) / WAL_SEGMENT_PAGE_SIZE;
    uint64_t size_max = pages * WAL_SEGMENT_PAGE_SIZE;
    size_max = size_max < pool->segment_size ? pool->segment_size : size_max;
    uint32_t spare = pool->spare_next;
    if (pool->spares_count > 0) {
        spare = pool->spares[--pool->spares_count];
    } else {
        pool->spare_next++;
    }
    char *path = spare_path(pool, spare);
    enum status status = make_at(pool, path, &header, size_max, segment);
    free(path);
    return status;
}

void wal_pool_push(struct wal_pool *pool, struct wal_segment *segment)
{
    assert(pool->count == 0 ||
           wal_pool_newest(pool)->header.sequence + 1 == segment->header.sequence);
    if (pool->count == pool->size) {
        pool->size = pool->size * 2 + 16;
        pool->segments = realloc(pool->segments, pool->size * sizeof(struct wal_segment *));
        assert(pool->segments != NULL);
    }
    pool->segments[pool->count++] = segment;
}

struct wal_segment *wal_pool_pop(struct wal_pool *pool)
{
    assert(pool->count > 1);
    struct wal_segment *oldest = pool->segments[0];
    pool->count--;
    memmove(pool->segments, pool->segments + 1, pool->count * sizeof(struct wal_segment *));
    return oldest;
}

/* Only when its old name is gone for good may the file be written over, and may the next segment
 * go: else a crash could leave a gap, or a segment with a strange header. */
enum status wal_pool_recycle(struct wal_pool *pool, struct wal_segment *segment)
{
    uint32_t spare = pool->spare_next++;
    bool keep = pool->spares_count < pool->spares_max && segment->filled <= pool->segment_size;
    char *from = segment_path(pool, segment->header.sequence);
    char *to = spare_path(pool, spare);
    wal_segment_close(segment);
    enum status status = keep ? disk_rename(from, to) : disk_unlink(from);
    if (status == STATUS_OK) {
        status = disk_sync_folder(pool->dir);
    }
    if (status == STATUS_OK && keep) {
        pool->spares[pool->spares_count++] = spare;
    }
    free(from);
    free(to);
    return status;
}
