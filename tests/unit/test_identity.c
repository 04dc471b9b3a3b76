#include "server/control/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/disk.h"
#include "common/base/hash.h"
#include "tests/support/test.h"

struct scene {
    char root[64];
    char folder[96]; /* Does not exist at first. */
    struct identity_request request;
    struct identity identity;
    struct lockfile *lock;
    char text[IDENTITY_TEXT_SIZE_MAX];
};

static void scene_init(struct scene *scene)
{
    *scene = (struct scene){0};
    snprintf(scene->root, sizeof(scene->root), "/tmp/test_identity.XXXXXX");
    CHECK(mkdtemp(scene->root) != NULL);
    snprintf(scene->folder, sizeof(scene->folder), "%s/new/data", scene->root);
    scene->request =
        (struct identity_request){.folder = scene->folder, .replicas = 3, .shards = 32};
    for (unsigned i = 0; i < sizeof(scene->request.random); i++) {
        scene->request.random[i] = (uint8_t)(i + 1);
    }
}

static enum status start(struct scene *scene, bool bootstrap, bool join)
{
    scene->request.bootstrap = bootstrap;
    scene->request.join = join;
    scene->lock = NULL;
    enum status status =
        identity_open(&scene->request, &scene->identity, &scene->lock, scene->text);
    CHECK((status == STATUS_OK) == (scene->lock != NULL));
    CHECK((status == STATUS_OK) == (scene->text[0] == '\0'));
    return status;
}

static void stop(struct scene *scene)
{
    lockfile_close(scene->lock);
    scene->lock = NULL;
}

static void scene_deinit(struct scene *scene)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", scene->root);
    CHECK(system(command) == 0);
}

static const char *path(const struct scene *scene, const char *name)
{
    static _Thread_local char text[160];
    snprintf(text, sizeof(text), "%s/%s", scene->folder, name);
    return text;
}

TEST(identity_open, makes_a_new_directory_and_knows_it_again)
{
    struct scene scene;
    scene_init(&scene);
    CHECK(start(&scene, true, false) == STATUS_OK);
    struct identity first = scene.identity;
    CHECK_EQ(first.node, IDENTITY_NODE_FIRST);
    CHECK(first.bootstrap && first.replicas == 3 && first.shards == 32);
    CHECK(memcmp(first.cluster, scene.request.random, 16) == 0);
    CHECK(first.disk != 0);
    stop(&scene);
    memset(scene.request.random, 0x77, sizeof(scene.request.random));
    CHECK(start(&scene, false, false) == STATUS_OK); /* As what it was. */
    CHECK(memcmp(scene.identity.cluster, first.cluster, 16) == 0);
    CHECK(scene.identity.disk == first.disk);
    stop(&scene);
    scene.request.replicas = 5;
    CHECK(start(&scene, true, false) == STATUS_OK); /* --bootstrap once more creates nothing. */
    CHECK_EQ(scene.identity.replicas, 3);
    CHECK(memcmp(scene.identity.cluster, first.cluster, 16) == 0);
    stop(&scene);
    scene_deinit(&scene);
}

TEST(identity_open, a_joining_directory_has_no_id_until_it_is_saved)
{
    struct scene scene;
    scene_init(&scene);
    CHECK(start(&scene, false, true) == STATUS_OK);
    CHECK_EQ(scene.identity.node, 0);
    CHECK(identity_cluster_is_zero(scene.identity.cluster));
    uint64_t disk = scene.identity.disk;
    stop(&scene);
    CHECK(start(&scene, false, false) == STATUS_BAD_ARGUMENT);
    CHECK(strstr(scene.text, "--join") != NULL);
    CHECK(start(&scene, true, false) == STATUS_CONFLICT);
    CHECK(start(&scene, false, true) == STATUS_OK);
    CHECK(scene.identity.disk == disk); /* The same directory, told by its disk id. */
    scene.identity.node = 7;
    memset(scene.identity.cluster, 9, sizeof(scene.identity.cluster));
    CHECK(identity_save(scene.folder, &scene.identity) == STATUS_OK);
    stop(&scene);
    CHECK(start(&scene, false, false) == STATUS_OK);
    CHECK_EQ(scene.identity.node, 7);
    CHECK(scene.identity.disk == disk);
    stop(&scene);
    CHECK(start(&scene, true, false) == STATUS_CONFLICT);
    scene_deinit(&scene);
}

TEST(identity_open, wants_to_know_what_a_new_directory_is_for)
{
    struct scene scene;
    scene_init(&scene);
    CHECK(start(&scene, false, false) == STATUS_BAD_ARGUMENT);
    CHECK(strstr(scene.text, "--bootstrap") != NULL);
    CHECK(start(&scene, true, true) == STATUS_BAD_ARGUMENT);
    scene.request.replicas = 2;
    CHECK(start(&scene, true, false) == STATUS_BAD_ARGUMENT);
    scene.request.replicas = 3;
    scene.request.shards = 31;
    CHECK(start(&scene, true, false) == STATUS_BAD_ARGUMENT);
    CHECK(!disk_exists(scene.folder)); /* Nothing was changed on disk. */
    scene_deinit(&scene);
}

TEST(identity_open, refuses_a_directory_with_something_else_in_it)
{
    struct scene scene;
    scene_init(&scene);
    CHECK(disk_make_folder(scene.folder) == STATUS_OK);
    CHECK(disk_replace_file(path(&scene, "diary.txt"), slice_str("dear")) == STATUS_OK);
    CHECK(start(&scene, true, false) == STATUS_CONFLICT);
    CHECK(strstr(scene.text, "not empty") != NULL);
    CHECK(!disk_exists(path(&scene, "identity")));
    CHECK(!disk_exists(path(&scene, "lock")));
    CHECK(disk_unlink(path(&scene, "diary.txt")) == STATUS_OK);
    CHECK(disk_replace_file(path(&scene, "lock"), slice_str("")) ==
          STATUS_OK); /* A start cut short. */
    CHECK(start(&scene, true, false) == STATUS_OK);
    stop(&scene);
    scene_deinit(&scene);
}

TEST(identity_open, refuses_what_is_no_usable_directory)
{
    struct scene scene;
    scene_init(&scene);
    char file[128];
    snprintf(file, sizeof(file), "%s/file", scene.root);
    CHECK(disk_replace_file(file, slice_str("x")) == STATUS_OK);
    scene.request.folder = file;
    CHECK(start(&scene, true, false) == STATUS_IO);
    snprintf(file, sizeof(file), "%s/file/below", scene.root);
    CHECK(start(&scene, true, false) == STATUS_IO);
    scene.request.folder = "/proc/no/such/place"; /* Nobody may write here, root neither. */
    CHECK(start(&scene, true, false) == STATUS_IO);
    scene.request.folder = "";
    CHECK(start(&scene, true, false) == STATUS_BAD_ARGUMENT);
    char *endless = calloc(1, 5000);
    memset(endless, 'a', 4999);
    scene.request.folder = endless;
    CHECK(start(&scene, true, false) == STATUS_BAD_ARGUMENT);
    free(endless);
    scene_deinit(&scene);
}

TEST(identity_open, one_process_at_a_time)
{
    struct scene scene;
    struct scene other;
    scene_init(&scene);
    CHECK(start(&scene, true, false) == STATUS_OK);
    other = scene;
    CHECK(start(&other, false, false) == STATUS_CONFLICT);
    CHECK(strstr(other.text, "in use") != NULL);
    stop(&scene);
    CHECK(start(&other, false, false) == STATUS_OK);
    stop(&other);
    scene_deinit(&scene);
}

TEST(identity_open, needs_no_lock_where_there_is_none)
{
    struct scene scene;
    scene_init(&scene);
    scene.request.bootstrap = true;
    CHECK(identity_open(&scene.request, &scene.identity, NULL, scene.text) == STATUS_OK);
    CHECK(!disk_exists(path(&scene, "lock")));
    scene_deinit(&scene);
}

/* Bytes of an identity file, with the checksum put right after changes. */
static void encode(struct buf *bytes, const struct identity *identity)
{
    buf_clear(bytes);
    identity_encode(identity, bytes);
}

static void reseal(struct buf *bytes)
{
    uint64_t sum = hash_bytes(slice_of(bytes->data, bytes->len - 8));
    buf_truncate(bytes, bytes->len - 8);
    buf_append_u64(bytes, sum);
}

static const struct identity sample = {.cluster = {1, 2, 3}, .node = 4, .disk = 5};

TEST(identity_decode, refuses_damage_and_every_truncation)
{
    struct buf bytes;
    struct identity back = {.node = 99};
    buf_init(&bytes, 1024);
    encode(&bytes, &sample);
    for (size_t len = 0; len < bytes.len; len++) {
        CHECK(identity_decode(slice_of(bytes.data, len), &back) == STATUS_CORRUPT);
    }
    for (size_t i = 0; i < bytes.len; i++) {
        bytes.data[i] ^= 0x10;
        enum status status = identity_decode(buf_slice(&bytes), &back);
        CHECK(status == STATUS_CORRUPT || (i == 4 && status == STATUS_NEWER_FORMAT));
        bytes.data[i] ^= 0x10;
    }
    CHECK_EQ(back.node, 99);
    CHECK(identity_decode(buf_slice(&bytes), &back) == STATUS_OK);
    CHECK_EQ(back.node, 4);
    buf_deinit(&bytes);
}

TEST(identity_decode, refuses_what_contradicts_itself)
{
    struct buf bytes;
    struct identity back;
    buf_init(&bytes, 1024);
    static const struct {
        size_t offset;
        uint8_t value;
    } changes[] = {
        {21, 0}, /* No node, but a cluster. */
        {29, 0}, /* No disk id. */
        {37, 2}, /* Neither bootstrap nor not. */
        {37, 1}, /* Bootstrap, but not the first node and without numbers. */
        {38, 3}, /* Numbers without bootstrap. */
    };
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        encode(&bytes, &sample);
        bytes.data[changes[i].offset] = changes[i].value;
        reseal(&bytes);
        CHECK(identity_decode(buf_slice(&bytes), &back) == STATUS_CORRUPT);
    }
    encode(&bytes, &sample);
    reseal(&bytes);
    CHECK(identity_decode(buf_slice(&bytes), &back) == STATUS_OK);
    buf_deinit(&bytes);
}

TEST(identity_open, tells_a_newer_format_from_damage)
{
    struct scene scene;
    struct buf bytes;
    scene_init(&scene);
    buf_init(&bytes, 8192);
    CHECK(disk_make_folder(scene.folder) == STATUS_OK);
    encode(&bytes, &sample);
    bytes.data[4] = 2;
    CHECK(disk_replace_file(path(&scene, "identity"), buf_slice(&bytes)) == STATUS_OK);
    CHECK(start(&scene, false, false) == STATUS_NEWER_FORMAT);
    CHECK(strstr(scene.text, "newer version") != NULL);
    bytes.data[4] = 1;
    bytes.data[30] ^= 1;
    CHECK(disk_replace_file(path(&scene, "identity"), buf_slice(&bytes)) == STATUS_OK);
    CHECK(start(&scene, false, false) == STATUS_CORRUPT);
    memset(buf_reserve(&bytes, 8000), 0, 8000);
    bytes.len = 8000;
    CHECK(disk_replace_file(path(&scene, "identity"), buf_slice(&bytes)) == STATUS_OK);
    CHECK(start(&scene, false, false) == STATUS_CORRUPT);
    buf_deinit(&bytes);
    scene_deinit(&scene);
}

TEST(identity_load_map, gives_back_the_saved_map_or_none)
{
    struct scene scene;
    struct shard_map map;
    struct shard_map back;
    struct buf bytes;
    scene_init(&scene);
    shard_map_init(&map);
    shard_map_init(&back);
    buf_init(&bytes, 1 << 16);
    CHECK(disk_make_folder(scene.folder) == STATUS_OK);
    CHECK(identity_load_map(scene.folder, &back) == STATUS_NOT_FOUND);
    map.version = 12;
    shard_map_encode(&map, &bytes);
    CHECK(identity_save_map(scene.folder, buf_slice(&bytes)) == STATUS_OK);
    CHECK(identity_load_map(scene.folder, &back) == STATUS_OK);
    CHECK_EQ(back.version, 12);

    buf_clear(&bytes);
    CHECK(disk_read_file(path(&scene, "map"), &bytes) == STATUS_OK);
    bytes.data[30] ^= 1;
    CHECK(disk_replace_file(path(&scene, "map"), buf_slice(&bytes)) == STATUS_OK);
    CHECK(identity_load_map(scene.folder, &back) == STATUS_CORRUPT);
    CHECK(disk_replace_file(path(&scene, "map"), slice_str("short")) == STATUS_OK);
    CHECK(identity_load_map(scene.folder, &back) == STATUS_CORRUPT);
    CHECK_EQ(back.version, 12);
    buf_deinit(&bytes);
    shard_map_deinit(&map);
    shard_map_deinit(&back);
    scene_deinit(&scene);
}
