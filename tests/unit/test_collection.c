#include "server/machine/collection.h"

#include <stdio.h>

#include "server/machine/garbage.h"
#include "tests/support/call_rig.h"
#include "tests/support/test.h"

static void open_key(struct call_rig *rig, enum keyspace_type type, struct collection *c)
{
    rig->state.version++;
    CHECK_EQ(collection_open(&rig->call, SLOT_A, slice_str("key"), type, c), STATUS_OK);
}

static struct slice name_of(size_t i, char text[32])
{
    (void)snprintf(text, 32, "field-%zu", i);
    return slice_str(text);
}

/* Fields [first, first + count). */
static void fill(struct call_rig *rig, enum keyspace_type type, size_t first, size_t count)
{
    struct collection c;
    open_key(rig, type, &c);
    for (size_t i = first; i < first + count; i++) {
        char text[32];
        struct slice name = name_of(i, text);
        struct slice value = type == KEYSPACE_HASH ? name : slice_of(NULL, 0);
        bool added = false;
        CHECK_EQ(collection_put(&c, name, value, &added), STATUS_OK);
        CHECK(added);
    }
    collection_close(&c);
}

TEST(collection_put, takes_a_row_per_element_beyond_what_is_packed)
{
    struct call_rig rig;
    call_rig_open(&rig, "collection");
    fill(&rig, KEYSPACE_HASH, 0, PACKED_COUNT_MAX);
    CHECK_EQ(call_rig_rows(&rig, STORE_DATA), 1);
    fill(&rig, KEYSPACE_HASH, PACKED_COUNT_MAX, 1);
    CHECK_EQ(call_rig_rows(&rig, STORE_DATA), 1 + PACKED_COUNT_MAX + 1);
    struct collection c;
    open_key(&rig, KEYSPACE_HASH, &c);
    CHECK_EQ(collection_count(&c), PACKED_COUNT_MAX + 1);
    for (size_t i = 0; i <= PACKED_COUNT_MAX; i++) {
        char text[32];
        struct slice name = name_of(i, text);
        struct slice value;
        bool found = false;
        CHECK_EQ(collection_get(&c, name, &value, &found), STATUS_OK);
        CHECK(found && slice_equal(name, value));
    }
    call_rig_close(&rig);
}

TEST(collection_put, keeps_integers_in_order_and_writes_them_out_with_others_among_them)
{
    static const char *const texts[] = {"5", "-3", "9223372036854775807", "0",
                                        "-9223372036854775808"};
    static const char *const sorted[] = {"-9223372036854775808", "-3", "0", "5",
                                         "9223372036854775807",  "07"};
    struct call_rig rig;
    call_rig_open(&rig, "collection");
    struct collection c;
    open_key(&rig, KEYSPACE_SET, &c);
    bool added = false;
    for (size_t i = 0; i < 5; i++) {
        CHECK_EQ(collection_put(&c, slice_str(texts[i]), slice_of(NULL, 0), &added), STATUS_OK);
    }
    CHECK_EQ(c.body.len, 5 * 8);
    collection_close(&c);
    CHECK(strcmp(collection_encoding(&c.row), "intset") == 0);
    open_key(&rig, KEYSPACE_SET, &c);
    CHECK_EQ(collection_put(&c, slice_str("07"), slice_of(NULL, 0), &added), STATUS_OK);
    CHECK(added);
    CHECK_EQ(collection_put(&c, slice_str("5"), slice_of(NULL, 0), &added), STATUS_OK);
    CHECK(!added);
    collection_close(&c);
    CHECK(strcmp(collection_encoding(&c.row), "hashtable") == 0);
    open_key(&rig, KEYSPACE_SET, &c);
    struct collection_walk walk;
    size_t at = 0;
    bool more = collection_walk_open(&walk, &c, 0);
    for (; more; more = collection_walk_next(&walk)) {
        CHECK_BYTES(walk.entry.field, sorted[at]);
        at++;
    }
    CHECK_EQ(at, 6);
    CHECK_EQ(collection_walk_close(&walk), STATUS_OK);
    CHECK_EQ(call_rig_rows(&rig, STORE_DATA), 1);
    call_rig_close(&rig);
}

TEST(collection_close, deletes_what_has_become_empty)
{
    struct call_rig rig;
    call_rig_open(&rig, "collection");
    fill(&rig, KEYSPACE_SET, 0, 200);
    struct collection c;
    open_key(&rig, KEYSPACE_SET, &c);
    for (size_t i = 0; i < 200; i++) {
        char text[32];
        bool removed = false;
        CHECK_EQ(collection_remove(&c, name_of(i, text), &removed), STATUS_OK);
        CHECK(removed);
    }
    collection_close(&c);
    CHECK(!c.there);
    CHECK_EQ(rig.state.keys[0], 0);
    CHECK_EQ(call_rig_rows(&rig, STORE_DATA), 0);
    open_key(&rig, KEYSPACE_SET, &c);
    CHECK_EQ(collection_count(&c), 0);
    call_rig_close(&rig);
}

TEST(collection_clear, costs_the_same_for_many_elements_and_leaves_nothing)
{
    struct call_rig rig;
    call_rig_open(&rig, "collection");
    for (size_t i = 0; i < 100; i++) {
        fill(&rig, KEYSPACE_HASH, i * 1000, 1000);
        CHECK_EQ(txn_commit(rig.txn), STATUS_OK);
    }
    struct collection c;
    open_key(&rig, KEYSPACE_HASH, &c);
    CHECK_EQ(collection_count(&c), 100000);
    collection_clear(&c);
    size_t size = 0;
    CHECK(txn_pending(rig.txn, &size) <= 4);
    CHECK(size < 1024);
    CHECK_EQ(rig.state.keys[0], 0);
    CHECK_EQ(call_rig_rows(&rig, STORE_DATA), 0);
    fill(&rig, KEYSPACE_HASH, 5, 200);
    open_key(&rig, KEYSPACE_HASH, &c);
    CHECK_EQ(collection_count(&c), 200);
    while (rig.state.garbage > 0) {
        CHECK_EQ(garbage_sweep(&rig.call, 100000), STATUS_OK);
    }
    CHECK_EQ(call_rig_rows(&rig, STORE_DATA), 201);
    call_rig_close(&rig);
}

/* The elements of a scan or of choices, by the number in their name. */
struct counted {
    unsigned count[4096];
    size_t shown;
};

static enum status count_one(void *ctx, const struct collection_entry *entry)
{
    struct counted *counted = ctx;
    size_t number = 0;
    for (size_t i = strlen("field-"); i < entry->field.len; i++) {
        number = number * 10 + (size_t)(entry->field.data[i] - '0');
    }
    CHECK(number < 4096);
    counted->count[number]++;
    counted->shown++;
    return STATUS_OK;
}

TEST(collection_scan, shows_what_is_there_all_the_time_while_others_come_and_go)
{
    enum { STAYS = 1000, EXTRA = 1000, PAGE = 10 };
    struct call_rig rig;
    call_rig_open(&rig, "collection");
    fill(&rig, KEYSPACE_SET, 0, STAYS + EXTRA);
    struct rand rand;
    rand_init(&rand, 1);
    struct counted seen = {0};
    struct collection_page page = {.count = PAGE};
    size_t pages = 0;
    do {
        struct collection c;
        open_key(&rig, KEYSPACE_SET, &c);
        size_t before = seen.shown;
        CHECK_EQ(collection_scan(&c, &page, count_one, &seen), STATUS_OK);
        CHECK(seen.shown - before <= PAGE + 1);
        page.cursor = page.next;
        pages++;
        for (size_t i = 0; i < 20; i++) {
            char text[32];
            struct slice name = name_of(STAYS + rand_below(&rand, 2 * EXTRA), text);
            bool changed = false;
            enum status status = rand_below(&rand, 2) == 0
                                     ? collection_remove(&c, name, &changed)
                                     : collection_put(&c, name, slice_of(NULL, 0), &changed);
            CHECK_EQ(status, STATUS_OK);
        }
        collection_close(&c);
        if (pages % 7 == 0) {
            CHECK_EQ(txn_commit(rig.txn), STATUS_OK);
        }
    } while (page.next != 0);
    CHECK(pages >= (STAYS + EXTRA) / (2 * PAGE));
    for (size_t i = 0; i < STAYS; i++) {
        CHECK_EQ(seen.count[i], 1);
    }
    call_rig_close(&rig);
}

TEST(collection_scan, shows_all_of_a_packed_collection_whatever_the_count)
{
    struct call_rig rig;
    call_rig_open(&rig, "collection");
    fill(&rig, KEYSPACE_HASH, 0, 100);
    struct collection c;
    open_key(&rig, KEYSPACE_HASH, &c);
    struct counted seen = {0};
    struct collection_page page = {.count = 1, .next = 7};
    CHECK_EQ(collection_scan(&c, &page, count_one, &seen), STATUS_OK);
    CHECK_EQ(page.next, 0);
    CHECK_EQ(seen.shown, 100);
    call_rig_close(&rig);
}

/* Chi squared of the counts against all being the same. */
static double unevenness(const struct counted *counted, size_t count)
{
    double expected = (double)counted->shown / (double)count;
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        double off = counted->count[i] - expected;
        sum += off * off / expected;
    }
    return sum;
}

TEST(collection_pick, gives_every_element_of_a_small_one_the_same_chance)
{
    struct call_rig rig;
    call_rig_open(&rig, "collection");
    size_t counts[] = {100, 129}; /* Packed, and in rows. */
    for (size_t n = 0; n < 2; n++) {
        fill(&rig, KEYSPACE_SET, n == 0 ? 0 : counts[0], counts[n] - (n == 0 ? 0 : counts[0]));
        if (n == 1) {
            struct collection rows;
            open_key(&rig, KEYSPACE_SET, &rows);
            bool removed = false;
            char text[32];
            CHECK_EQ(collection_remove(&rows, name_of(128, text), &removed), STATUS_OK);
            collection_close(&rows);
            counts[1] = 128;
        }
        struct collection c;
        open_key(&rig, KEYSPACE_SET, &c);
        struct rand rand;
        rand_init(&rand, 42 + n);
        struct counted seen = {0};
        CHECK_EQ(collection_pick(&c, &rand, 20000, count_one, &seen), STATUS_OK);
        CHECK_EQ(seen.shown, 20000);
        /* Of 99 or 127 degrees of freedom; 1 in 10^5 of fair choosers exceed it. */
        CHECK(unevenness(&seen, counts[n]) < (n == 0 ? 166 : 202));
    }
    call_rig_close(&rig);
}

TEST(collection_pick, gives_elements_of_a_large_one_about_the_same_chance)
{
    enum { COUNT = 2000, PICKS = 40000 };
    struct call_rig rig;
    call_rig_open(&rig, "collection");
    fill(&rig, KEYSPACE_SET, 0, COUNT);
    struct collection c;
    open_key(&rig, KEYSPACE_SET, &c);
    struct rand rand;
    rand_init(&rand, 7);
    struct counted seen = {0};
    CHECK_EQ(collection_pick(&c, &rand, PICKS, count_one, &seen), STATUS_OK);
    for (size_t i = 0; i < COUNT; i++) {
        /* 20 are expected; gaps between places add an eighth or so, about. */
        CHECK(seen.count[i] > 0 && seen.count[i] < 70);
    }
    CHECK_EQ(seen.shown, PICKS);
    call_rig_close(&rig);
}

typedef enum status (*chooser)(
    struct collection *c, struct rand *rand, uint64_t count, collection_visit visit, void *ctx);

static void check_distinct(struct collection *c, chooser choose, uint64_t count)
{
    struct counted seen = {0};
    struct rand rand;
    rand_init(&rand, count);
    CHECK_EQ(choose(c, &rand, count, count_one, &seen), STATUS_OK);
    CHECK_EQ(seen.shown, count);
    for (size_t i = 0; i < collection_count(c); i++) {
        CHECK(seen.count[i] <= 1);
    }
}

TEST(collection_pick, shows_none_twice_that_should_be_distinct)
{
    struct call_rig rig;
    call_rig_open(&rig, "collection");
    const size_t sizes[] = {100, 1000};
    for (size_t n = 0; n < 2; n++) {
        fill(&rig, KEYSPACE_SET, n == 0 ? 0 : sizes[0], sizes[n] - (n == 0 ? 0 : sizes[0]));
        struct collection c;
        open_key(&rig, KEYSPACE_SET, &c);
        for (size_t count = 0; count < sizes[n]; count += 33) {
            check_distinct(&c, collection_pick_distinct, count);
            check_distinct(&c, collection_pick_run, count);
        }
    }
    call_rig_close(&rig);
}

TEST(collection_pick, chooses_the_same_from_the_same_seed)
{
    struct call_rig rig;
    call_rig_open(&rig, "collection");
    fill(&rig, KEYSPACE_SET, 0, 1000);
    struct collection c;
    open_key(&rig, KEYSPACE_SET, &c);
    struct counted seen[2] = {0};
    for (size_t i = 0; i < 2; i++) {
        struct rand rand;
        rand_init(&rand, 99);
        CHECK_EQ(collection_pick_run(&c, &rand, 5, count_one, &seen[i]), STATUS_OK);
        CHECK_EQ(collection_pick(&c, &rand, 5, count_one, &seen[i]), STATUS_OK);
        CHECK_EQ(txn_commit(rig.txn), STATUS_OK);
    }
    CHECK_EQ(memcmp(&seen[0], &seen[1], sizeof(seen[0])), 0);
    call_rig_close(&rig);
}

TEST(collection_each, refuses_a_damaged_body)
{
    struct call_rig rig;
    call_rig_open(&rig, "collection");
    fill(&rig, KEYSPACE_HASH, 0, 3);
    struct collection c;
    open_key(&rig, KEYSPACE_HASH, &c);
    struct counted seen = {0};
    c.body.len--;
    CHECK_EQ(collection_each(&c, count_one, &seen), STATUS_CORRUPT);
    open_key(&rig, KEYSPACE_HASH, &c);
    c.row.size++;
    CHECK_EQ(collection_each(&c, count_one, &seen), STATUS_CORRUPT);
    open_key(&rig, KEYSPACE_HASH, &c);
    uint8_t long_size = PACKED_SIZE_MAX + 1;
    c.body = slice_of(&long_size, 1);
    struct slice value;
    bool found = false;
    CHECK_EQ(collection_get(&c, slice_str("x"), &value, &found), STATUS_CORRUPT);
    call_rig_close(&rig);
}

TEST(collection_renew, gives_what_is_left_of_a_drained_one_new_rows)
{
    enum { COUNT = 20000, LEFT = 50 };
    struct call_rig rig;
    call_rig_open(&rig, "collection");
    fill(&rig, KEYSPACE_HASH, 0, COUNT);
    struct collection c;
    open_key(&rig, KEYSPACE_HASH, &c);
    uint64_t born = c.row.born;
    size_t renewed = 0;
    for (size_t i = LEFT; i < COUNT; i++) {
        char text[32];
        bool removed = false;
        open_key(&rig, KEYSPACE_HASH, &c);
        CHECK_EQ(collection_remove(&c, name_of(i, text), &removed), STATUS_OK);
        CHECK_EQ(collection_renew(&c), STATUS_OK);
        collection_close(&c);
        renewed += c.row.born != born ? 1 : 0;
        born = c.row.born;
        CHECK(c.dead <= 16 * c.row.size + 1024);
    }
    CHECK(renewed >= 1 && renewed <= 4);
    while (rig.state.garbage > 0) {
        CHECK_EQ(garbage_sweep(&rig.call, 1000), STATUS_OK);
    }
    CHECK_EQ(call_rig_rows(&rig, STORE_DATA), 1 + LEFT);
    for (size_t i = 0; i < LEFT; i++) {
        char text[32];
        struct slice name = name_of(i, text);
        struct slice value;
        bool found = false;
        CHECK_EQ(collection_get(&c, name, &value, &found), STATUS_OK);
        CHECK(found && slice_equal(value, name));
    }
    call_rig_close(&rig);
}

/* What a collection should have: the value's number of each field, 0 if it is not there. */
enum { MODEL_FIELDS = 700 };
struct model {
    unsigned values[MODEL_FIELDS];
    size_t count;
};

static struct slice model_field(enum keyspace_type type, size_t i, char text[128])
{
    if (type == KEYSPACE_SET || i % 3 == 0) {
        (void)snprintf(text, 128, "%zu", i * 1000003);
    } else {
        (void)snprintf(text, 128, "f%0*zu", i % 7 == 0 ? 64 : 1, i);
    }
    return slice_str(text);
}

static struct slice model_value(enum keyspace_type type, unsigned number, char text[128])
{
    if (type == KEYSPACE_SET) {
        return slice_of(NULL, 0);
    }
    (void)snprintf(text, 128, "%0*u", number % 200 == 0 ? 66 : 1, number);
    return slice_str(text);
}

static void change_model(struct collection *c, struct model *model, struct rand *rand, size_t span)
{
    char field_text[128];
    char value_text[128];
    size_t i = rand_below(rand, span);
    struct slice field = model_field(c->type, i, field_text);
    bool changed = false;
    if (rand_below(rand, 3) == 0) {
        CHECK_EQ(collection_remove(c, field, &changed), STATUS_OK);
        CHECK_EQ(changed, model->values[i] != 0);
        model->count -= changed ? 1 : 0;
        model->values[i] = 0;
        return;
    }
    unsigned number = 1 + (unsigned)rand_below(rand, 1000);
    struct slice value = model_value(c->type, number, value_text);
    CHECK_EQ(collection_put(c, field, value, &changed), STATUS_OK);
    CHECK_EQ(changed, model->values[i] == 0);
    model->count += changed ? 1 : 0;
    model->values[i] = number;
}

static void compare_model(struct collection *c, const struct model *model)
{
    CHECK_EQ(collection_count(c), model->count);
    for (size_t i = 0; i < MODEL_FIELDS; i++) {
        char field_text[128];
        char value_text[128];
        struct slice value;
        bool found = false;
        struct slice field = model_field(c->type, i, field_text);
        CHECK_EQ(collection_get(c, field, &value, &found), STATUS_OK);
        CHECK_EQ(found, model->values[i] != 0);
        CHECK(!found || slice_equal(value, model_value(c->type, model->values[i], value_text)));
    }
    struct collection_walk walk;
    size_t count = 0;
    bool more = collection_walk_open(&walk, c, 0);
    for (; more; more = collection_walk_next(&walk)) {
        count++;
    }
    CHECK_EQ(collection_walk_close(&walk), STATUS_OK);
    CHECK_EQ(count, model->count);
}

static void play_model(enum keyspace_type type, uint64_t seed)
{
    struct call_rig rig;
    call_rig_open(&rig, "collection");
    struct rand rand;
    rand_init(&rand, seed);
    struct model model = {0};
    /* Small ones, those about the limits, and large ones. */
    static const size_t spans[] = {20, 190, 200, MODEL_FIELDS};
    size_t span = spans[seed % 4];
    for (size_t step = 0; step < 200; step++) {
        struct collection c;
        open_key(&rig, type, &c);
        size_t changes = 1 + rand_below(&rand, 12);
        for (size_t i = 0; i < changes; i++) {
            change_model(&c, &model, &rand, span);
        }
        collection_close(&c);
        if (rand_below(&rand, 5) == 0) {
            CHECK_EQ(txn_commit(rig.txn), STATUS_OK);
        }
        if (rand_below(&rand, 60) == 0) {
            open_key(&rig, type, &c);
            collection_clear(&c);
            memset(&model, 0, sizeof(model));
        }
        if (step % 10 == 0) {
            open_key(&rig, type, &c);
            compare_model(&c, &model);
        }
    }
    call_rig_close(&rig);
}

TEST(collection, has_what_a_simple_model_has)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        printf("seed %llu\n", (unsigned long long)seed);
        play_model(KEYSPACE_HASH, seed);
        play_model(KEYSPACE_SET, seed);
    }
}
