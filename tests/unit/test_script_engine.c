#include "server/script/script_engine.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "tests/support/test.h"

enum { MEMORY_MAX = 16 << 20, TEXT_SIZE = 256 };

struct bench {
    struct script_engine *engine;
    struct buf reply;
    enum status status;
    uint64_t calls;
    enum status answer; /* What redis.call() comes to. */
    atomic_bool killed;
    bool kill; /* At the next call. */
    struct script_run run;
};

static enum status on_call(void *ctx, const struct script_call *call, struct buf *reply)
{
    struct bench *bench = ctx;
    bench->calls++;
    atomic_store(&bench->killed, bench->kill);
    CHECK(call->args.argc >= 1);
    buf_append_text(reply, ":1\r\n");
    return bench->answer;
}

static void bench_init(struct bench *bench)
{
    *bench = (struct bench){.engine = script_engine_new(MEMORY_MAX), .answer = STATUS_OK};
    buf_init(&bench->reply, 1 << 30);
    bench->run = (struct script_run){
        .steps_max = 5 * 1000 * 1000, .killed = &bench->killed, .ctx = bench, .call = on_call};
}

static void bench_deinit(struct bench *bench)
{
    script_engine_free(bench->engine);
    buf_deinit(&bench->reply);
}

static enum script_end run(struct bench *bench, const char *source)
{
    unsigned flags = 0;
    buf_clear(&bench->reply);
    atomic_store(&bench->killed, false);
    CHECK_EQ(script_engine_load(bench->engine, slice_str(source), &flags, &bench->reply),
             STATUS_OK);
    char sha[SHA1_HEX_SIZE + 1];
    sha1_hex(slice_str(source), sha);
    bench->run.sha = slice_str(sha);
    enum script_end end =
        script_engine_run(bench->engine, &bench->run, &bench->reply, &bench->status);
    bench->run.sha = (struct slice){0};
    return end;
}

static bool says(const struct bench *bench, const char *text)
{
    return memmem(bench->reply.data, bench->reply.len, text, strlen(text)) != NULL;
}

static void check_reply(struct bench *bench, const char *source, const char *reply)
{
    CHECK_EQ(run(bench, source), SCRIPT_DONE);
    if (!slice_equal(buf_slice(&bench->reply), slice_str(reply))) {
        fprintf(stderr, "%s: %.*s\n", source, (int)bench->reply.len,
                (const char *)bench->reply.data);
    }
    CHECK(slice_equal(buf_slice(&bench->reply), slice_str(reply)));
}

/* Each would go on for very long, or for ever. */
TEST(script_engine_run, stops_what_does_not_end)
{
    static const char *const sources[] = {
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local function f() pcall(f) end while true do f() end",
        "while true do xpcall(function() while true do end end, function() while true do end end) "
        "end",
        "local c = coroutine.wrap(function() while true do coroutine.yield() end end) while true "
        "do c() end",
        "local c = coroutine.create(function() while true do end end) while true do "
        "coroutine.resume(c) end",
        "while true do redis.call('x') end",
        "while true do collectgarbage() end",
        "local t = {} for i = 1, 200000 do t[i] = i end while true do table.insert(t, 1, 0) "
        "table.remove(t, 1) end",
        "local t = {} for i = 1, 200000 do t[i] = 'x' end while true do local s = table.concat(t) "
        "end",
        "return string.rep('a', 30):find(string.rep('a?', 30) .. string.rep('a', 30))",
        "return string.rep('a', 100):match(string.rep('a-', 60) .. 'b')",
        "return string.rep('(', 100000):gsub('.-.-.-.-b', '')",
        "return string.rep('x', 2000000):find('.-x.-x.-y')",
        "while true do string.rep('x', 1000000) end",
        "local s = string.rep('x', 1000000) while true do local t = s:upper():lower():reverse() "
        "end",
        "local f = string.format while true do f('%s', string.rep('x', 100000)) end",
        "while true do cjson.decode(cjson.encode({1, 2, 3, string.rep('x', 10000)})) end",
        "while true do cmsgpack.unpack(cmsgpack.pack({1, 2, 3, string.rep('x', 10000)})) end",
        "while true do struct.pack('c0', string.rep('x', 10000)) end",
        "while true do loadstring('return 1') end",
        "load(function() return ' ' end)",
        "error(setmetatable({}, {__newindex = function() while true do end end, __index = "
        "function() while true do end end})) while true do end",
        "setmetatable({}, {__index = function(t, k) return t[k .. 'x'] end}).x() while true do end",
    };
    struct bench bench;
    bench_init(&bench);
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        enum script_end end = run(&bench, sources[i]);
        bool out_of_stack = end == SCRIPT_DONE && bench.reply.data[0] == '-';
        if (end != SCRIPT_STOPPED && !out_of_stack) {
            fprintf(stderr, "%s: %d %.*s\n", sources[i], (int)end, (int)bench.reply.len,
                    (const char *)bench.reply.data);
        }
        CHECK(end == SCRIPT_STOPPED || out_of_stack);
        check_reply(&bench, "return 1", ":1\r\n");
    }
    bench_deinit(&bench);
}

TEST(script_engine_run, stops_what_needs_too_much_memory)
{
    static const char *const sources[] = {
        "local t = {} for i = 1, 1e9 do t[i] = i end",
        "local s = 'x' while true do s = s .. s end",
        "local s = {} while true do s = {s} end",
        "local t = {} for i = 1, 1e9 do t[i] = function() return i end end",
        "local c = {} for i = 1, 1e9 do c[i] = coroutine.create(function() end) end",
        "local t = {} for i = 1, 1e9 do t[i] = string.rep('x', 1000) .. i end",
        "local t = {} for i = 1, 1e9 do t['k' .. i] = i end",
    };
    struct bench bench;
    bench_init(&bench);
    struct script_engine_stats before;
    struct script_engine_stats after;
    check_reply(&bench, "return 1", ":1\r\n");
    script_engine_stats(bench.engine, &before);
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        CHECK_EQ(run(&bench, sources[i]), SCRIPT_STOPPED);
        CHECK(says(&bench, "script-memory-max"));
        check_reply(&bench, "return 1", ":1\r\n");
    }
    script_engine_stats(bench.engine, &after);
    if (after.memory >= before.memory + (1 << 20)) {
        fprintf(stderr, "%llu, then %llu\n", (unsigned long long)before.memory,
                (unsigned long long)after.memory);
    }
    CHECK_EQ(after.out_of_memory, sizeof(sources) / sizeof(sources[0]));
    CHECK(after.memory < before.memory + (1 << 20)); /* It is given back. */
    bench_deinit(&bench);
}

TEST(script_engine_run, refuses_what_libraries_would_take_without_bound)
{
    struct bench bench;
    bench_init(&bench);
    CHECK_EQ(run(&bench, "return string.rep('x', 1e9)"), SCRIPT_DONE);
    CHECK(says(&bench, "resulting string too large"));
    CHECK_EQ(run(&bench, "return string.rep('', 2e9)"), SCRIPT_DONE);
    CHECK(slice_equal(buf_slice(&bench.reply), slice_str("$0\r\n\r\n")));
    CHECK_EQ(run(&bench,
                 "local s = string.rep('x', 1e6) local t = {} for i = 1, 1000 do t[i] = s end "
                 "return cjson.encode(t)"),
             SCRIPT_DONE);
    CHECK(says(&bench, "script-memory-max"));
    CHECK_EQ(run(&bench, "local t = {} for i = 1, 100 do t = {t, t} end return cjson.encode(t)"),
             SCRIPT_DONE);
    CHECK_EQ(bench.reply.data[0], '-');
    CHECK_EQ(run(&bench, "cjson.encode_max_depth(1e9)"), SCRIPT_DONE);
    CHECK_EQ(bench.reply.data[0], '-');
    CHECK_EQ(run(&bench, "return string.rep('x', 250):find(string.rep('x?', 250))"), SCRIPT_DONE);
    CHECK(says(&bench, "pattern too complex"));
    CHECK_EQ(run(&bench, "return cmsgpack.unpack(string.rep('\\145', 100000))"), SCRIPT_DONE);
    CHECK_EQ(bench.reply.data[0], '-');
    CHECK_EQ(run(&bench, "local t = {} for i = 1, 5000 do t = {t} end return t"), SCRIPT_DONE);
    CHECK(says(&bench, "reached lua stack limit"));
    CHECK_EQ(run(&bench,
                 "local s = string.rep('x', 1e6) local t = {} for i = 1, 100 do t[i] = s end "
                 "return t"),
             SCRIPT_DONE);
    CHECK(says(&bench, "script-memory-max"));
    bench_deinit(&bench);
}

TEST(script_engine_run, ends_a_slice_without_a_reply)
{
    struct bench bench;
    bench_init(&bench);
    bench.run.slice = true;
    bench.run.steps_max = 10000;
    CHECK_EQ(run(&bench, "while true do end"), SCRIPT_AGAIN);
    CHECK_EQ(bench.reply.len, 0);
    check_reply(&bench, "return 5", ":5\r\n");
    bench.answer = STATUS_AGAIN;
    CHECK_EQ(run(&bench, "pcall(redis.call, 'x') while true do end"), SCRIPT_AGAIN);
    CHECK_EQ(bench.calls, 1);
    bench.answer = STATUS_IO;
    CHECK_EQ(run(&bench, "pcall(redis.call, 'x') return 1"), SCRIPT_FAILED);
    CHECK_EQ(bench.status, STATUS_IO);
    bench_deinit(&bench);
}

TEST(script_engine_run, is_killed)
{
    struct bench bench;
    bench_init(&bench);
    bench.kill = true;
    CHECK_EQ(
        run(&bench, "redis.call('x') while true do pcall(function() while true do end end) end"),
        SCRIPT_STOPPED);
    CHECK(says(&bench, "ERR Script killed by user with SCRIPT KILL..."));
    bench_deinit(&bench);
}

TEST(script_engine_run, ends_by_the_clock)
{
    struct bench bench;
    bench_init(&bench);
    bench.run.steps_max = 0;
    bench.run.time_ms_max = 30;
    uint64_t began_ms = clock_now_ms();
    CHECK_EQ(run(&bench, "while true do end"), SCRIPT_STOPPED);
    CHECK(says(&bench, "script-time-max"));
    CHECK(clock_now_ms() - began_ms >= 29);
    bench_deinit(&bench);
}

/* What a function of C may push besides its arguments has room on a full stack too. */
TEST(script_engine_run, takes_as_many_arguments_as_fit_the_stack)
{
    static const char *const ends[] = {"return redis.call(unpack(t))",
                                       "return redis.pcall(unpack(t))",
                                       "t[1] = {} return redis.pcall(unpack(t))"};
    struct bench bench;
    bench_init(&bench);
    for (int count = 7900; count <= 8000; count++) {
        for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
            char source[TEXT_SIZE];
            (void)snprintf(source, sizeof(source), "local t = {} for i = 1, %d do t[i] = i end %s",
                           count, ends[i]);
            CHECK_EQ(run(&bench, source), SCRIPT_DONE);
            CHECK(says(&bench, ":1\r\n") || says(&bench, "too many results to unpack") ||
                  says(&bench, "must be strings or integers"));
        }
    }
    CHECK(bench.calls > 180);
    bench_deinit(&bench);
}

TEST(script_engine_run, leaves_nothing_to_the_next)
{
    static const char *const tries[] = {
        "x = 1",
        "_G.x = 1",
        "string.x = 1",
        "rawset(_G, 'x', 1)",
        "getmetatable('').__index.x = 1",
        "getmetatable('').x = 1",
        "for k, v in pairs(_G) do if k == 'redis' then v.x = 1 end end",
        "redis.call = nil",
        "KEYS.x = 1",
        "table.insert(KEYS, 'x')",
        "setmetatable(string, {__index = {x = 1}})",
        "for _, t in pairs(_G) do if type(t) == 'table' then rawset(t, 'x', 1) end end",
        "local m = getmetatable(_G) if m then m.__index = {x = 1} end",
        "math.random = nil",
        "setfenv(0, {x = 1})",
        "loadstring('x = 1')()",
        "coroutine.wrap(function() x = 1 end)()",
        "cjson.null = 1",
        "cjson.decode = nil",
    };
    struct bench bench;
    bench_init(&bench);
    for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
        CHECK_EQ(run(&bench, tries[i]), SCRIPT_DONE);
        check_reply(
            &bench,
            "local ok = pcall(function() return x end) "
            "return {tostring(ok), type(string.x), type(('').x), type(redis.x), #KEYS, "
            "type(redis.call), type(math.random), type(cjson.decode), type(cjson.null)}",
            "*9\r\n$5\r\nfalse\r\n$3\r\nnil\r\n$3\r\nnil\r\n$3\r\nnil\r\n:0\r\n$8\r\nfunction"
            "\r\n$8\r\nfunction\r\n$8\r\nfunction\r\n$8\r\nuserdata\r\n");
    }
    bench_deinit(&bench);
}

TEST(script_engine_run, runs_the_same_for_the_same_seed)
{
    struct bench bench;
    bench_init(&bench);
    static const char source[] = "return tostring(math.random())";
    bench.run.seed = 77;
    CHECK_EQ(run(&bench, source), SCRIPT_DONE);
    struct buf first;
    buf_init(&first, 1024);
    buf_append_slice(&first, buf_slice(&bench.reply));
    CHECK_EQ(run(&bench, source), SCRIPT_DONE);
    CHECK(slice_equal(buf_slice(&first), buf_slice(&bench.reply)));
    bench.run.seed = 78;
    CHECK_EQ(run(&bench, source), SCRIPT_DONE);
    CHECK(!slice_equal(buf_slice(&first), buf_slice(&bench.reply)));
    buf_deinit(&first);
    bench_deinit(&bench);
}

TEST(script_engine_load, keeps_a_bounded_number)
{
    struct bench bench;
    bench_init(&bench);
    char source[TEXT_SIZE];
    char sha[SHA1_HEX_SIZE + 1];
    unsigned flags = 0;
    for (int i = 0; i < SCRIPT_KEPT_MAX + 10; i++) {
        (void)snprintf(source, sizeof(source), "return %d", i);
        CHECK_EQ(script_engine_load(bench.engine, slice_str(source), &flags, &bench.reply),
                 STATUS_OK);
        /* The first stays, as it is used all the time. */
        sha1_hex(slice_str("return 0"), sha);
        CHECK(script_engine_find(bench.engine, slice_str(sha), &flags));
    }
    struct script_engine_stats stats;
    script_engine_stats(bench.engine, &stats);
    CHECK_EQ(stats.kept, SCRIPT_KEPT_MAX);
    sha1_hex(slice_str("return 1"), sha);
    CHECK(!script_engine_find(bench.engine, slice_str(sha), &flags));
    script_engine_forget(bench.engine);
    sha1_hex(slice_str("return 0"), sha);
    CHECK(!script_engine_find(bench.engine, slice_str(sha), &flags));
    bench_deinit(&bench);
}

TEST(script_engine_load, refuses_bytecode_and_what_is_too_long)
{
    struct bench bench;
    bench_init(&bench);
    unsigned flags = 0;
    CHECK_EQ(script_engine_load(bench.engine, slice_str("\033Lua"), &flags, &bench.reply),
             STATUS_BAD_ARGUMENT);
    CHECK_EQ(script_engine_load(bench.engine, slice_str("#!lua\n\033Lua"), &flags, &bench.reply),
             STATUS_BAD_ARGUMENT);
    size_t size = SCRIPT_SIZE_MAX + 1;
    char *large = malloc(size);
    CHECK(large != NULL);
    memset(large, ' ', size);
    CHECK_EQ(script_engine_load(bench.engine, slice_of(large, size), &flags, &bench.reply),
             STATUS_BAD_ARGUMENT);
    free(large);
    CHECK_EQ(run(&bench, "return loadstring(string.dump(function() end))"), SCRIPT_DONE);
    CHECK(slice_equal(buf_slice(&bench.reply), slice_str("_\r\n")));
    bench_deinit(&bench);
}
