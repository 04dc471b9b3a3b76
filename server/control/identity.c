#include "server/control/identity.h"

#include <stdio.h>

#include "common/base/assert.h"
#include "common/base/disk.h"
#include "common/base/hash.h"
#include "common/base/reader.h"

enum {
    FORMAT = 1,
    MAGIC = 0x44494853, /* "SHID" */
    FILE_SIZE_MAX = 4096,
    MAP_FILE_SIZE_MAX = 64 << 20,
    PATH_SIZE_MAX = 4096,
};

bool identity_cluster_is_zero(const uint8_t *cluster)
{
    uint8_t any = 0;
    for (size_t i = 0; i < IDENTITY_CLUSTER_SIZE; i++) {
        any |= cluster[i];
    }
    return any == 0;
}

const char *identity_numbers_fault(unsigned replicas, unsigned shards)
{
    if (replicas != 1 && replicas != 3 && replicas != 5) {
        return "the number of replicas must be 1, 3 or 5";
    }
    if (shards == 0 || shards > MAP_SHARDS_MAX || (shards & (shards - 1)) != 0) {
        return "the number of shards must be a power of two, at most 131072";
    }
    return NULL;
}

static bool sound(const struct identity *identity)
{
    bool no_cluster = identity_cluster_is_zero(identity->cluster);
    if (identity->disk == 0 || no_cluster != (identity->node == 0)) {
        return false;
    }
    if (!identity->bootstrap) {
        return identity->replicas == 0 && identity->shards == 0;
    }
    return identity->node == IDENTITY_NODE_FIRST &&
           identity_numbers_fault(identity->replicas, identity->shards) == NULL;
}

void identity_encode(const struct identity *identity, struct buf *out)
{
    size_t before = out->len;
    assert(sound(identity));
    buf_append_u32(out, MAGIC);
    buf_append_u8(out, FORMAT);
    buf_append(out, identity->cluster, sizeof(identity->cluster));
    buf_append_u64(out, identity->node);
    buf_append_u64(out, identity->disk);
    buf_append_u8(out, identity->bootstrap ? 1 : 0);
    buf_append_u8(out, (uint8_t)identity->replicas);
    buf_append_u32(out, identity->shards);
    buf_append_u64(out, hash_bytes(slice_of(out->data + before, out->len - before)));
}

enum status identity_decode(struct slice bytes, struct identity *identity)
{
    struct identity fresh = {0};
    struct reader in = reader_of(bytes);
    uint32_t magic = reader_u32(&in);
    uint8_t format = reader_u8(&in);
    if (in.failed || magic != MAGIC || format == 0) {
        return STATUS_CORRUPT;
    }
    if (format > FORMAT) {
        return STATUS_NEWER_FORMAT;
    }
    struct slice cluster = reader_raw(&in, sizeof(fresh.cluster));
    fresh.node = reader_u64(&in);
    fresh.disk = reader_u64(&in);
    uint8_t bootstrap = reader_u8(&in);
    fresh.replicas = reader_u8(&in);
    fresh.shards = reader_u32(&in);
    uint64_t sum = reader_u64(&in);
    if (!reader_done(&in) || bootstrap > 1 ||
        sum != hash_bytes(slice_of(bytes.data, bytes.len - 8))) {
        return STATUS_CORRUPT;
    }
    memcpy(fresh.cluster, cluster.data, cluster.len);
    fresh.bootstrap = bootstrap == 1;
    if (!sound(&fresh)) {
        return STATUS_CORRUPT;
    }
    *identity = fresh;
    return STATUS_OK;
}

/* False if the path is too long. */
static bool path_of(char *path, const char *folder, const char *name)
{
    int len = snprintf(path, PATH_SIZE_MAX, "%s/%s", folder, name);
    return len > 0 && len < PATH_SIZE_MAX;
}

static enum status say(char *text, enum status status, const char *folder, const char *what)
{
    snprintf(text, IDENTITY_TEXT_SIZE_MAX, "%.300s: %s", folder, what);
    return status;
}

enum status identity_save(const char *folder, const struct identity *identity)
{
    char path[PATH_SIZE_MAX];
    struct buf bytes;
    if (!path_of(path, folder, "identity")) {
        return STATUS_IO;
    }
    buf_init(&bytes, FILE_SIZE_MAX);
    identity_encode(identity, &bytes);
    enum status status = disk_replace_file(path, buf_slice(&bytes));
    buf_deinit(&bytes);
    return status;
}

struct scan {
    bool foreign;
};

/* What a start that was cut short may have left: the lock and the half-written identity. */
static void on_name(void *arg, const char *name)
{
    struct scan *scan = arg;
    bool ours = strcmp(name, "lock") == 0 || strncmp(name, "identity", 8) == 0 ||
                strcmp(name, "lost+found") == 0;
    scan->foreign = scan->foreign || !ours;
}

static enum status check_fresh(const struct identity_request *request, char *text)
{
    struct scan scan = {0};
    if (disk_exists(request->folder)) {
        if (disk_list(request->folder, on_name, &scan) != STATUS_OK) {
            return say(
                text, STATUS_IO, request->folder,
                "cannot be read as a directory: give --data a directory that this user owns");
        }
        if (scan.foreign) {
            return say(text, STATUS_CONFLICT, request->folder,
                       "is not empty and not a data directory of Sherd: give --data an empty or"
                       " new directory");
        }
    }
    if (request->bootstrap == request->join) {
        return say(text, STATUS_BAD_ARGUMENT, request->folder,
                   "is a new data directory: start with --bootstrap to create a cluster, or with"
                   " --join ADDR:PORT to become part of one");
    }
    const char *fault =
        request->bootstrap ? identity_numbers_fault(request->replicas, request->shards) : NULL;
    return fault == NULL ? STATUS_OK : say(text, STATUS_BAD_ARGUMENT, request->folder, fault);
}

static uint64_t random_u64(const uint8_t *bytes)
{
    struct reader in = reader_of(slice_of(bytes, 8));
    uint64_t value = reader_u64(&in);
    return value == 0 ? 1 : value;
}

static void make_identity(const struct identity_request *request, struct identity *identity)
{
    *identity = (struct identity){0};
    identity->disk = random_u64(request->random + IDENTITY_CLUSTER_SIZE);
    if (request->bootstrap) {
        memcpy(identity->cluster, request->random, sizeof(identity->cluster));
        identity->cluster[0] |= identity_cluster_is_zero(identity->cluster) ? 1 : 0;
        identity->node = IDENTITY_NODE_FIRST;
        identity->bootstrap = true;
        identity->replicas = request->replicas;
        identity->shards = request->shards;
    }
}

static enum status read_identity(const char *folder, struct identity *identity, char *text)
{
    char path[PATH_SIZE_MAX];
    struct buf bytes;
    bool fits = path_of(path, folder, "identity");
    assert(fits);
    buf_init(&bytes, FILE_SIZE_MAX);
    enum status status = disk_read_file(path, &bytes);
    if (status == STATUS_OK) {
        status = identity_decode(buf_slice(&bytes), identity);
    } else if (status == STATUS_TOO_BIG) {
        status = STATUS_CORRUPT;
    }
    buf_deinit(&bytes);
    if (status == STATUS_NEWER_FORMAT) {
        return say(text, status, folder,
                   "was written by a newer version of Sherd: start that version, or one after it");
    }
    if (status == STATUS_CORRUPT) {
        return say(text, status, folder,
                   "its file `identity` is damaged: restore it from a copy, or start this node with"
                   " an empty directory and --join");
    }
    return status == STATUS_OK ? status
                               : say(text, STATUS_IO, folder, "its file `identity` cannot be read");
}

static enum status check_known(const struct identity_request *request,
                               const struct identity *identity,
                               char *text)
{
    if (request->bootstrap && !identity->bootstrap) {
        return say(text, STATUS_CONFLICT, request->folder,
                   "belongs to a node that joined a cluster: start without --bootstrap, or give"
                   " --data a new directory to create another cluster");
    }
    if (identity->node == 0 && !request->join) {
        return say(text, STATUS_BAD_ARGUMENT, request->folder,
                   "has not joined a cluster yet: start with --join ADDR:PORT of a node");
    }
    return STATUS_OK;
}

static enum status take_lock(const char *folder, struct lockfile **lock, char *text)
{
    char path[PATH_SIZE_MAX];
    bool fits = path_of(path, folder, "lock");
    assert(fits);
    enum status status = lockfile_open(path, lock);
    if (status == STATUS_CONFLICT) {
        return say(text, status, folder,
                   "is in use by another sherd-node: stop that one, or give --data another"
                   " directory");
    }
    return status == STATUS_OK
               ? status
               : say(text, status, folder,
                     "cannot be written: give --data a directory that this user may write to");
}

static enum status create(const struct identity_request *request,
                          struct identity *identity,
                          char *text)
{
    enum status status = check_fresh(request, text);
    if (status != STATUS_OK) {
        return status;
    }
    make_identity(request, identity);
    status = identity_save(request->folder, identity);
    if (status == STATUS_DISK_FULL) {
        return say(text, status, request->folder, "the disk is full: make room, start again");
    }
    return status == STATUS_OK
               ? status
               : say(text, STATUS_IO, request->folder,
                     "cannot be written: give --data a directory that this user may write to");
}

enum status identity_open(const struct identity_request *request,
                          struct identity *identity,
                          struct lockfile **lock,
                          char *text)
{
    char path[PATH_SIZE_MAX];
    text[0] = '\0';
    if (request->folder[0] == '\0' || !path_of(path, request->folder, "identity.long-suffix")) {
        return say(text, STATUS_BAD_ARGUMENT, "--data",
                   "needs the path of a directory, at most 4000 bytes long");
    }
    bool fits = path_of(path, request->folder, "identity");
    assert(fits);
    bool fresh = !disk_exists(path);
    enum status status = fresh ? check_fresh(request, text) : STATUS_OK;
    if (status != STATUS_OK) {
        return status;
    }
    if (fresh && disk_make_folder(request->folder) != STATUS_OK) {
        return say(text, STATUS_IO, request->folder,
                   "cannot be made: give --data a directory that this user may write to");
    }
    if (lock != NULL) {
        status = take_lock(request->folder, lock, text);
        if (status != STATUS_OK) {
            return status;
        }
    }
    struct identity known = {0};
    fresh = !disk_exists(path); /* Another process may have made it before we had the lock. */
    status = fresh ? create(request, &known, text) : read_identity(request->folder, &known, text);
    if (status == STATUS_OK && !fresh) {
        status = check_known(request, &known, text);
    }
    if (status == STATUS_OK) {
        *identity = known;
    } else if (lock != NULL) {
        lockfile_close(*lock);
        *lock = NULL;
    }
    return status;
}

enum status identity_mark(const char *folder)
{
    static const char *const made[] = {"store", "log"};
    char path[PATH_SIZE_MAX];
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < sizeof(made) / sizeof(made[0]); i++) {
        status = path_of(path, folder, made[i]) ? disk_sync_folder(path) : STATUS_IO;
    }
    if (status == STATUS_OK) {
        status = path_of(path, folder, "format")
                     ? disk_replace_file(path, slice_str("sherd data directory, format 1\n"))
                     : STATUS_IO;
    }
    return status;
}

bool identity_is_marked(const char *folder, const struct identity *identity)
{
    char path[PATH_SIZE_MAX];
    if (path_of(path, folder, "format") && disk_exists(path)) {
        return true;
    }
    /* The node that creates a cluster has its id from the beginning, and its first map after it
     * has opened everything. */
    bool mapped = path_of(path, folder, "map") && disk_exists(path);
    return identity->node != 0 && (!identity->bootstrap || mapped);
}

/* DIR/map: u64 XXH3 of the rest, then shard_map_encode(). */

enum status identity_load_map(const char *folder, struct shard_map *map)
{
    char path[PATH_SIZE_MAX];
    struct buf bytes;
    if (!path_of(path, folder, "map") || !disk_exists(path)) {
        return STATUS_NOT_FOUND;
    }
    buf_init(&bytes, MAP_FILE_SIZE_MAX);
    enum status status = disk_read_file(path, &bytes);
    if (status == STATUS_OK || status == STATUS_TOO_BIG) {
        struct reader in = reader_of(buf_slice(&bytes));
        uint64_t sum = reader_u64(&in);
        bool whole = status == STATUS_OK && !in.failed && hash_bytes(in.rest) == sum;
        status = whole ? shard_map_decode(in.rest, map) : STATUS_CORRUPT;
    }
    buf_deinit(&bytes);
    return status;
}

enum status identity_save_map(const char *folder, struct slice encoded)
{
    char path[PATH_SIZE_MAX];
    struct buf bytes;
    if (!path_of(path, folder, "map")) {
        return STATUS_IO;
    }
    buf_init(&bytes, MAP_FILE_SIZE_MAX);
    buf_append_u64(&bytes, hash_bytes(encoded));
    buf_append_slice(&bytes, encoded);
    enum status status = disk_replace_file(path, buf_slice(&bytes));
    buf_deinit(&bytes);
    return status;
}
