#include "server/machine/adopt.h"

#include <stdio.h>

#include "common/base/reader.h"
#include "server/machine/keyspace.h"
#include "tests/support/machine_rig.h"
#include "tests/support/test.h"

enum { ROWS_SIZE_MAX = 1 << 24, FAR_MS = 1000000 };

static const char everything[] = "everything";

/* All DATA rows as ADOPT takes them. */
static void collect(struct machine_rig *rig, struct buf *rows)
{
    struct store_iter *iter =
        iter_open(rig->call.txn, STORE_DATA, slice_of("", 0), slice_of("\xff\xff", 2));
    for (; iter_valid(iter); iter_next(iter)) {
        buf_append_bytes(rows, iter_key(iter));
        buf_append_bytes(rows, iter_value(iter));
    }
    CHECK_EQ(iter_status(iter), STATUS_OK);
    iter_close(iter);
}

static void plan_adopt(uint64_t version, bool empty, struct slice rows, struct buf *planned)
{
    char number[24];
    struct buf reply;
    buf_init(&reply, 4096);
    (void)snprintf(number, sizeof(number), "%llu", (unsigned long long)version);
    const struct slice argv[] = {slice_str("adopt"), slice_str(number),
                                 slice_str(empty ? "1" : "0"), rows};
    const struct machine_plan_input input = {.command = command_by_code(452),
                                             .args = {.argv = argv, .argc = 4}};
    CHECK_EQ(machine_plan(&input, planned, &reply), STATUS_OK);
    buf_deinit(&reply);
}

/* Keys that came to be; -1: not the owner of all. */
static int64_t adopt(struct machine_rig *rig, uint64_t version, bool empty, struct slice rows)
{
    struct buf planned;
    struct buf reply;
    buf_init(&planned, ROWS_SIZE_MAX);
    buf_init(&reply, 4096);
    plan_adopt(version, empty, rows, &planned);
    const struct machine_apply_input input = {
        .scope = rig->call.scope, .planned = buf_slice(&planned), .now_ms = rig->call.now_ms};
    enum status status = machine_apply(rig->call.txn, rig->call.state, &input, &reply);
    int64_t keys = -1;
    if (status == STATUS_OK) {
        CHECK(reply.len > 1 && reply.data[0] == ':');
        keys = 0;
        for (size_t i = 1; reply.data[i] != '\r'; i++) {
            keys = keys * 10 + (reply.data[i] - '0');
        }
    } else {
        CHECK_EQ(status, STATUS_NOT_OWNER);
    }
    buf_deinit(&planned);
    buf_deinit(&reply);
    return keys;
}

static void fill(struct machine_rig *rig)
{
    for (int i = 0; i < 300; i++) {
        (void)machine_rig_do(rig, "HSET hash f%d v%d", i, i);
        (void)machine_rig_do(rig, "ZADD zset %d m%d", i, i);
    }
    (void)machine_rig_do(rig, "SET string value");
    (void)machine_rig_do(rig, "SET lasts value PX %d", FAR_MS);
    (void)machine_rig_do(rig, "RPUSH list a b c");
}

TEST(adopt, brings_rows_with_their_elements_and_times)
{
    struct machine_rig from;
    struct machine_rig to;
    struct buf rows;
    buf_init(&rows, ROWS_SIZE_MAX);
    machine_rig_open(&from, 1);
    machine_rig_open(&to, 1);
    fill(&from);
    collect(&from, &rows);
    uint64_t version = from.call.state->version;
    CHECK_EQ(adopt(&to, version, true, slice_of("", 0)), 0);
    CHECK_EQ(adopt(&to, version, false, buf_slice(&rows)), 5);
    CHECK(to.call.state->version >= version);
    CHECK_EQ(to.call.state->keys[0], 5);
    CHECK_EQ(to.call.state->expires[0], 1);
    CHECK_EQ(machine_rig_count(&to, "HLEN hash"), 300);
    CHECK_BYTES(machine_rig_do(&to, "HGET hash f7"), "$2\r\nv7\r\n");
    CHECK_EQ(machine_rig_count(&to, "ZRANK zset m250"), 250);
    CHECK_EQ(machine_rig_count(&to, "LLEN list"), 3);
    CHECK(machine_rig_count(&to, "PTTL lasts") > 0);
    CHECK_EQ(machine_rig_count(&to, "PTTL string"), -1);
    /* Once more: nothing is counted twice. */
    CHECK_EQ(adopt(&to, version, false, buf_slice(&rows)), 0);
    CHECK_EQ(to.call.state->keys[0], 5);
    CHECK_EQ(to.call.state->expires[0], 1);
    buf_deinit(&rows);
    machine_rig_close(&from);
    machine_rig_close(&to);
}

TEST(adopt, leaves_no_garbage_that_could_eat_what_comes)
{
    struct machine_rig rig;
    struct buf rows;
    buf_init(&rows, ROWS_SIZE_MAX);
    machine_rig_open(&rig, 1);
    fill(&rig);
    collect(&rig, &rows);
    uint64_t version = rig.call.state->version;
    /* The same collection, removed: its elements wait to be swept under the very version that the
     * backup has. */
    CHECK_EQ(machine_rig_count(&rig, "DEL hash"), 1);
    CHECK_EQ(adopt(&rig, version, true, slice_of("", 0)), 0);
    CHECK_EQ(machine_rig_rows(&rig, STORE_DATA, slice_of("", 0)), 0);
    CHECK_EQ(rig.call.state->garbage, 0);
    CHECK_EQ(adopt(&rig, version, false, buf_slice(&rows)), 5);
    (void)machine_rig_sweep(&rig);
    CHECK_BYTES(machine_rig_do(&rig, "HGET hash f299"), "$4\r\nv299\r\n");
    CHECK_EQ(machine_rig_count(&rig, "HLEN hash"), 300);
    buf_deinit(&rows);
    machine_rig_close(&rig);
}

TEST(adopt, overwrites_what_was_written_meanwhile)
{
    struct machine_rig from;
    struct machine_rig to;
    struct buf rows;
    buf_init(&rows, ROWS_SIZE_MAX);
    machine_rig_open(&from, 1);
    machine_rig_open(&to, 1);
    fill(&from);
    collect(&from, &rows);
    uint64_t version = from.call.state->version;
    CHECK_EQ(adopt(&to, version, true, slice_of("", 0)), 0);
    for (int i = 0; i < 300; i++) {
        (void)machine_rig_do(&to, "HSET hash other%d v", i);
    }
    (void)machine_rig_do(&to, "SET string %s EX 100", everything);
    CHECK_EQ(adopt(&to, version, false, buf_slice(&rows)), 5);
    CHECK_EQ(to.call.state->keys[0], 5);
    CHECK_EQ(to.call.state->expires[0], 1);
    (void)machine_rig_sweep(&to);
    CHECK_EQ(machine_rig_count(&to, "HLEN hash"), 300);
    CHECK_EQ(machine_rig_count(&to, "HEXISTS hash other5"), 0);
    CHECK_EQ(machine_rig_count(&to, "HEXISTS hash f5"), 1);
    CHECK_EQ(machine_rig_count(&to, "PTTL string"), -1);
    buf_deinit(&rows);
    machine_rig_close(&from);
    machine_rig_close(&to);
}

TEST(adopt, is_not_for_tokens_of_another_shard)
{
    struct machine_rig rig;
    struct buf rows;
    buf_init(&rows, ROWS_SIZE_MAX);
    machine_rig_open(&rig, 1);
    fill(&rig);
    collect(&rig, &rows);
    uint64_t keys = rig.call.state->keys[0];
    rig.call.scope.last = UINT64_MAX / 64;
    CHECK_EQ(adopt(&rig, 1, false, buf_slice(&rows)), -1);
    CHECK_EQ(rig.call.state->keys[0], keys);
    buf_deinit(&rows);
    machine_rig_close(&rig);
}

TEST(adopt, refuses_what_is_no_row)
{
    static const char *const bad[] = {"x", "\1\0\0\0a\1\0\0\0b", "\377\377\377\377"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct buf planned;
        struct buf reply;
        buf_init(&planned, 4096);
        buf_init(&reply, 4096);
        struct slice rows = slice_of(bad[i], i == 1 ? 10 : 1 + 3 * (i == 2));
        const struct slice argv[] = {slice_str("adopt"), slice_str("1"), slice_str("0"), rows};
        const struct machine_plan_input input = {.command = command_by_code(452),
                                                 .args = {.argv = argv, .argc = 4}};
        CHECK_EQ(machine_plan(&input, &planned, &reply), STATUS_BAD_ARGUMENT);
        CHECK_BYTES(buf_slice(&reply), "-ERR malformed rows\r\n");
        buf_deinit(&planned);
        buf_deinit(&reply);
    }
}
