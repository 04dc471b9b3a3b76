#include "server/machine/event.h"

#include "common/base/reader.h"
#include "tests/support/test.h"

TEST(event_next, gives_what_was_noted_in_order)
{
    struct buf events;
    buf_init(&events, 1 << 10);
    struct machine_state state = {0};
    struct call call = {.state = &state, .db = 3, .events = &events};
    event_note(&call, EVENT_HASH, "hset", slice_str("h"));
    call.db = 0;
    event_note(&call, EVENT_GENERIC, "del", slice_str(""));
    struct reader in = reader_of(buf_slice(&events));
    struct event event;
    CHECK(event_next(&in, &event));
    CHECK(event.class == EVENT_HASH && event.db == 3);
    CHECK_BYTES(event.name, "hset");
    CHECK_BYTES(event.key, "h");
    CHECK(event_next(&in, &event));
    CHECK(event.class == EVENT_GENERIC && event.db == 0);
    CHECK_BYTES(event.name, "del");
    CHECK_EQ(event.key.len, 0);
    CHECK(!event_next(&in, &event));
    buf_deinit(&events);
}

TEST(event_note, does_nothing_if_nobody_wants_events)
{
    struct machine_state state = {0};
    struct call call = {.state = &state};
    event_note(&call, EVENT_STRING, "set", slice_str("k"));
    CHECK(call.events == NULL);
}
