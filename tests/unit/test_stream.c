#include "server/machine/stream.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/rand.h"
#include "server/machine/stream_range.h"
#include "tests/support/machine_rig.h"
#include "tests/support/test.h"

enum { MODEL_SIZE = 4096, STEPS = 1500, SEEDS = 3 };

/* The ids, as numbers, that a stream should have. */
struct model {
    uint64_t ids[MODEL_SIZE];
    size_t count;
    uint64_t top; /* The last one that was added. */
};

static struct stream load(struct machine_rig *rig, const char *key)
{
    struct stream stream;
    CHECK_EQ(stream_load(&rig->call, slice_str(key), &stream), STATUS_OK);
    return stream;
}

static size_t count_kind(struct machine_rig *rig,
                         const struct stream *stream,
                         enum stream_kind kind)
{
    struct buf prefix;
    buf_init(&prefix, 1 << 10);
    stream_key(stream, kind, &prefix);
    size_t count = machine_rig_rows(rig, STORE_DATA, buf_slice(&prefix));
    buf_deinit(&prefix);
    return count;
}

static size_t count_between(const struct model *model, uint64_t from, uint64_t to)
{
    size_t count = 0;
    for (size_t i = 0; i < model->count; i++) {
        count += model->ids[i] >= from && model->ids[i] < to ? 1 : 0;
    }
    return count;
}

/* Every segment has as many entries as it says. */
static void check_segments(struct machine_rig *rig,
                           const struct stream *stream,
                           const struct model *model)
{
    uint64_t end = stream->tail.live > 0 ? stream->tail.first.ms : UINT64_MAX;
    if (stream->tail.live > 0) {
        CHECK_EQ(stream->tail.live, count_between(model, end, UINT64_MAX));
    }
    struct buf from;
    struct buf to;
    buf_init(&from, 1 << 10);
    buf_init(&to, 1 << 10);
    stream_key(stream, STREAM_SEGMENT, &from);
    stream_key(stream, (enum stream_kind)(STREAM_SEGMENT + 1), &to);
    struct store_iter *iter =
        iter_open(rig->player.txn, STORE_DATA, buf_slice(&from), buf_slice(&to));
    struct stream_segment segment = stream->head;
    uint64_t middle = 0;
    for (; iter_valid(iter); iter_next(iter)) {
        struct reader key = reader_of(iter_key(iter));
        struct reader value = reader_of(iter_value(iter));
        (void)reader_raw(&key, from.len);
        struct stream_id id = stream_id_read(&key);
        CHECK_EQ(segment.live, count_between(model, segment.first.ms, id.ms));
        segment = (struct stream_segment){.first = id, .live = reader_u32(&value)};
        CHECK(reader_done(&key) && reader_done(&value));
        middle++;
    }
    iter_close(iter);
    if (stream->head.live > 0) {
        CHECK_EQ(segment.live, count_between(model, segment.first.ms, end));
    }
    CHECK_EQ(stream->middle, middle);
    buf_deinit(&from);
    buf_deinit(&to);
}

static void check(struct machine_rig *rig, const struct model *model)
{
    struct stream stream = load(rig, "s");
    CHECK_EQ(stream.length, model->count);
    CHECK_EQ(stream.first.ms, model->count == 0 ? 0 : model->ids[0]);
    CHECK_EQ(stream.last.ms, model->top);
    CHECK_EQ(stream.rows, stream.length + stream.middle);
    CHECK_EQ(count_kind(rig, &stream, STREAM_ENTRY), model->count);
    check_segments(rig, &stream, model);
    struct stream_range range;
    struct stream_id id;
    struct slice value;
    stream_range_open_back(&rig->call, &stream, (struct stream_id){0}, STREAM_ID_MAX, &range);
    for (size_t i = model->count; i-- > 0;) {
        CHECK(stream_range_next(&range, &id, &value));
        CHECK_EQ(id.ms, model->ids[i]);
    }
    CHECK(!stream_range_next(&range, &id, &value));
    CHECK_EQ(stream_range_close(&range), STATUS_OK);
}

static void drop_first(struct model *model, size_t count)
{
    model->count -= count;
    memmove(model->ids, model->ids + count, model->count * sizeof(model->ids[0]));
}

static void add_some(struct machine_rig *rig, struct model *model, struct rand *rand)
{
    size_t count = rand_below(rand, 8) == 0 ? rand_below(rand, 300) : 1;
    for (size_t i = 0; i < count && model->count < MODEL_SIZE; i++) {
        model->top += 1 + rand_below(rand, 3);
        model->ids[model->count++] = model->top;
        machine_rig_do(rig, "XADD s %llu f v", (unsigned long long)model->top);
    }
}

static void remove_some(struct machine_rig *rig, struct model *model, struct rand *rand)
{
    uint64_t id = rand_below(rand, model->top + 2);
    size_t count = rand_below(rand, 10) == 0 ? 150 : 1;
    for (size_t i = 0; i < count; i++, id++) {
        machine_rig_do(rig, "XDEL s %llu", (unsigned long long)id);
        size_t at = 0;
        while (at < model->count && model->ids[at] < id) {
            at++;
        }
        if (at < model->count && model->ids[at] == id) {
            model->count--;
            memmove(model->ids + at, model->ids + at + 1,
                    (model->count - at) * sizeof(model->ids[0]));
        }
    }
}

static void trim_some(struct machine_rig *rig, struct model *model, struct rand *rand)
{
    if (rand_below(rand, 2) == 0) {
        uint64_t length = rand_below(rand, model->count + 10);
        machine_rig_do(rig, "XTRIM s MAXLEN %llu", (unsigned long long)length);
        drop_first(model, model->count > length ? model->count - length : 0);
        return;
    }
    uint64_t id = rand_below(rand, model->top + 2);
    machine_rig_do(rig, "XTRIM s MINID = %llu", (unsigned long long)id);
    drop_first(model, count_between(model, 0, id));
}

static void play(uint64_t seed)
{
    printf("seed %llu\n", (unsigned long long)seed);
    struct rand rand;
    rand_init(&rand, seed);
    struct machine_rig rig;
    struct model *model = calloc(1, sizeof(*model));
    CHECK(model != NULL);
    machine_rig_open(&rig, 1 + (unsigned)rand_below(&rand, 20));
    add_some(&rig, model, &rand);
    machine_rig_do(&rig, "XADD s %llu f v", (unsigned long long)++model->top);
    model->ids[model->count++] = model->top;
    for (size_t i = 0; i < STEPS; i++) {
        uint64_t kind = rand_below(&rand, 12);
        if (kind <= 6) {
            add_some(&rig, model, &rand);
        } else if (kind <= 9) {
            remove_some(&rig, model, &rand);
        } else if (rand_below(&rand, 6) == 0) {
            trim_some(&rig, model, &rand);
        }
        if (i % 16 == 0) {
            check(&rig, model);
        }
    }
    check(&rig, model);
    free(model);
    machine_rig_close(&rig);
}

TEST(stream_append, keeps_counts_with_removals_and_trims)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        play(seed);
    }
}

TEST(stream_trim, removes_very_many_by_range)
{
    struct machine_rig rig;
    machine_rig_open(&rig, 1000);
    for (int i = 1; i <= 150000; i++) {
        machine_rig_do(&rig, "XADD s %d f v", i);
    }
    CHECK_EQ(load(&rig, "s").middle, 1498);
    CHECK_EQ(machine_rig_count(&rig, "XTRIM s MAXLEN 130050"), 19950);
    struct stream stream = load(&rig, "s");
    CHECK_EQ(stream.first.ms, 19951);
    CHECK_EQ(stream.head.live, 50);
    CHECK_EQ(count_kind(&rig, &stream, STREAM_ENTRY), 130050);
    CHECK_EQ(machine_rig_count(&rig, "XTRIM s MINID 149950"), 129999);
    stream = load(&rig, "s");
    CHECK_EQ(stream.first.ms, 149950);
    CHECK_EQ(stream.length, 51);
    CHECK_EQ(stream.rows, 51);
    CHECK_EQ(count_kind(&rig, &stream, STREAM_ENTRY), 51);
    CHECK_EQ(count_kind(&rig, &stream, STREAM_SEGMENT), 0);
    CHECK_EQ(machine_rig_count(&rig, "XTRIM s MAXLEN 0"), 51);
    CHECK_EQ(machine_rig_rows(&rig, STORE_DATA, slice_of(NULL, 0)), 1);
    machine_rig_close(&rig);
}

TEST(stream_trim, takes_all_of_a_large_stream)
{
    struct machine_rig rig;
    machine_rig_open(&rig, 1000);
    for (int i = 1; i <= 20000; i++) {
        machine_rig_do(&rig, "XADD s %d f v", i);
    }
    CHECK_EQ(machine_rig_count(&rig, "XTRIM s MINID 30000"), 20000);
    CHECK_EQ(machine_rig_rows(&rig, STORE_DATA, slice_of(NULL, 0)), 1);
    machine_rig_do(&rig, "XADD s 30000 f v");
    CHECK_EQ(load(&rig, "s").first.ms, 30000);
    machine_rig_close(&rig);
}

TEST(stream_decode, reads_what_was_written)
{
    struct stream stream = {.length = 7,
                            .last = {90, 1},
                            .deleted = {3, 4},
                            .first = {5, 6},
                            .added = 12,
                            .groups = 2,
                            .number = 3,
                            .head = {{5, 0}, 2},
                            .middle = 1,
                            .tail = {{80, 0}, 1},
                            .tail_added = 9,
                            .tail_size = 200};
    struct stream again = {0};
    struct buf body;
    buf_init(&body, 1 << 10);
    stream_encode(&stream, &body);
    CHECK(stream_decode(buf_slice(&body), &again));
    struct buf twice;
    buf_init(&twice, 1 << 10);
    stream_encode(&again, &twice);
    CHECK(slice_equal(buf_slice(&body), buf_slice(&twice)));
    CHECK_EQ(again.tail.first.ms, 80);
    CHECK_EQ(again.tail_size, 200);
    buf_deinit(&twice);
    for (size_t len = 0; len < body.len; len++) {
        CHECK(!stream_decode(slice_of(body.data, len), &again));
    }
    stream.middle = 0; /* Then the ends have all entries. */
    buf_clear(&body);
    stream_encode(&stream, &body);
    CHECK(!stream_decode(buf_slice(&body), &again));
    buf_deinit(&body);
}
