#include "server/script/script_engine.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/proto/resp.h"
#include "server/script/script_private.h"

enum {
    HOOK_STEPS = 500,      /* Instructions between two looks at the bounds; */
    CLOCK_HOOKS = 16,      /* the clock is asked every so many of these. */
    ALLOC_STEP_SIZE = 64,  /* Bytes of new memory that cost as much as an instruction. */
    IDLE_MEMORY = 1 << 20, /* Garbage that may stay until Lua collects it by itself. */
    LUA_BYTECODE = 27,
};

/* Memory. */

static void on_count(lua_State *lua, lua_Debug *at);

static void *allocate(void *ctx, void *memory, size_t size_old, size_t size)
{
    struct script_engine *engine = ctx;
    size_t total = engine->memory - size_old + size;
    if (size == 0) {
        free(memory);
        engine->memory = total;
        return NULL;
    }
    if (size > size_old) {
        if (engine->memory_limit != 0 && total > engine->memory_limit) {
            return NULL;
        }
        engine->spent += (size - size_old) / ALLOC_STEP_SIZE;
    }
    void *made = realloc(memory, size);
    assert(made != NULL);
    engine->memory = total;
    return made;
}

static int on_panic(lua_State *lua)
{
    (void)lua;
    assert(false && "Lua raised an error where none can be");
    return 0;
}

struct script_engine *script_engine_of(lua_State *lua)
{
    void *engine = NULL;
    (void)lua_getallocf(lua, &engine);
    return engine;
}

static int open_sandbox(lua_State *lua)
{
    script_sandbox_open(lua);
    return 0;
}

struct script_engine *script_engine_new(size_t memory_max)
{
    struct script_engine *engine = calloc(1, sizeof(*engine));
    assert(engine != NULL);
    engine->memory_max = memory_max;
    map_init(&engine->kept);
    list_init(&engine->order);
    buf_init(&engine->answer, SIZE_MAX / 2);
    buf_init(&engine->converted, SIZE_MAX / 2);
    buf_init(&engine->scratch, SIZE_MAX / 2);
    engine->lua = lua_newstate(allocate, engine);
    assert(engine->lua != NULL);
    (void)lua_atpanic(engine->lua, on_panic);
    int failed = lua_cpcall(engine->lua, open_sandbox, NULL);
    assert(failed == 0);
    lua_gc(engine->lua, LUA_GCCOLLECT, 0);
    engine->memory_base = engine->memory;
    return engine;
}

void script_engine_free(struct script_engine *engine)
{
    assert(engine->run == NULL);
    script_engine_forget(engine);
    lua_close(engine->lua);
    assert(engine->memory == 0);
    map_deinit(&engine->kept);
    buf_deinit(&engine->answer);
    buf_deinit(&engine->converted);
    buf_deinit(&engine->scratch);
    free(engine->argv);
    free(engine);
}

/* Bounds. */

static const char *stop_text(enum script_stop stop)
{
    switch (stop) {
    case STOP_KILLED: return "Script killed by user with SCRIPT KILL...";
    case STOP_TIME:
        return "Script needs more time than script-time-max allows; nothing was changed";
    case STOP_NONE:
    case STOP_AGAIN:
    case STOP_FAILED: break;
    }
    return "Script stopped";
}

int script_engine_stop(lua_State *lua, enum script_stop stop)
{
    struct script_engine *engine = script_engine_of(lua);
    engine->stop = engine->stop == STOP_NONE ? stop : engine->stop;
    /* From now on every instruction fails, so that a pcall() of the script does not help it. */
    lua_sethook(lua, on_count, LUA_MASKCOUNT, 1);
    script_value_push_error(lua, slice_str(stop_text(engine->stop)));
    return lua_error(lua);
}

/* What ends the run now, if anything does. */
static enum script_stop look(struct script_engine *engine)
{
    const struct script_run *run = engine->run;
    if (engine->stop != STOP_NONE) {
        return engine->stop;
    }
    if (run->killed != NULL && atomic_load(run->killed)) {
        return STOP_KILLED;
    }
    enum script_stop late = run->slice ? STOP_AGAIN : STOP_TIME;
    if (run->steps_max != 0 && engine->spent > run->steps_max) {
        return late;
    }
    bool ask = engine->until_ns != 0 && engine->hooks++ % CLOCK_HOOKS == 0;
    return ask && clock_now_ns() >= engine->until_ns ? late : STOP_NONE;
}

static void on_count(lua_State *lua, lua_Debug *at)
{
    (void)at;
    struct script_engine *engine = script_engine_of(lua);
    engine->spent += HOOK_STEPS;
    enum script_stop stop = look(engine);
    if (stop != STOP_NONE) {
        (void)script_engine_stop(lua, stop);
    }
}

void script_engine_charge(lua_State *lua, uint64_t steps)
{
    struct script_engine *engine = script_engine_of(lua);
    if (engine->run == NULL) {
        return;
    }
    engine->spent += steps;
    enum script_stop stop = look(engine);
    if (stop != STOP_NONE) {
        (void)script_engine_stop(lua, stop);
    }
}

/* What is kept. */

static uint64_t kept_key(const uint8_t sha[SHA1_SIZE])
{
    uint64_t key = 0;
    memcpy(&key, sha, sizeof(key));
    return key;
}

/* Makes it the most recently used. */
static struct script_kept *find(struct script_engine *engine, const uint8_t sha[SHA1_SIZE])
{
    struct script_kept *kept = map_get(&engine->kept, kept_key(sha));
    if (kept == NULL || memcmp(kept->sha, sha, SHA1_SIZE) != 0) {
        return NULL;
    }
    list_remove(&kept->link);
    list_push_back(&engine->order, &kept->link);
    return kept;
}

static struct script_kept *find_hex(struct script_engine *engine, struct slice sha)
{
    uint8_t sum[SHA1_SIZE];
    return sha1_parse(sha, sum) ? find(engine, sum) : NULL;
}

static void drop(struct script_engine *engine, struct script_kept *kept)
{
    (void)map_remove(&engine->kept, kept_key(kept->sha));
    list_remove(&kept->link);
    luaL_unref(engine->lua, LUA_REGISTRYINDEX, kept->ref);
    assert(engine->kept_size >= kept->size);
    engine->kept_size -= kept->size;
    free(kept->source);
    free(kept->homes);
    free(kept);
}

static struct script_kept *oldest(const struct script_engine *engine)
{
    return list_empty(&engine->order) ? NULL
                                      : list_entry(engine->order.next, struct script_kept, link);
}

void script_engine_forget(struct script_engine *engine)
{
    assert(engine->run == NULL);
    while (!list_empty(&engine->order)) {
        drop(engine, oldest(engine));
    }
    lua_gc(engine->lua, LUA_GCCOLLECT, 0);
    engine->memory_base = engine->memory;
}

bool script_engine_find(struct script_engine *engine, struct slice sha, unsigned *flags)
{
    const struct script_kept *kept = find_hex(engine, sha);
    if (kept == NULL) {
        return false;
    }
    *flags = kept->flags;
    return true;
}

bool script_engine_source(struct script_engine *engine, struct slice sha, struct slice *source)
{
    const struct script_kept *kept = find_hex(engine, sha);
    if (kept != NULL) {
        *source = slice_of(kept->source, kept->size);
    }
    return kept != NULL;
}

static struct script_home *home_of(struct script_kept *kept, uint64_t place)
{
    for (size_t i = 0; i < kept->home_count; i++) {
        if (kept->homes[i].place == place) {
            return &kept->homes[i];
        }
    }
    return NULL;
}

bool script_engine_knows(struct script_engine *engine,
                         uint64_t place,
                         struct slice sha,
                         bool *stored)
{
    struct script_kept *kept = find_hex(engine, sha);
    const struct script_home *home = kept == NULL ? NULL : home_of(kept, place);
    *stored = home != NULL && home->stored;
    return home != NULL;
}

void script_engine_note(struct script_engine *engine, uint64_t place, struct slice sha, bool stored)
{
    struct script_kept *kept = find_hex(engine, sha);
    if (kept == NULL) {
        return; /* Others have taken its room since. */
    }
    struct script_home *home = home_of(kept, place);
    if (home == NULL) {
        size_t count = kept->home_count + 1;
        kept->homes = realloc(kept->homes, count * sizeof(*kept->homes));
        assert(kept->homes != NULL);
        home = &kept->homes[kept->home_count];
        *home = (struct script_home){.place = place};
        kept->home_count = count;
    }
    home->stored = home->stored || stored;
}

void script_engine_forget_place(struct script_engine *engine, uint64_t place)
{
    assert(engine->run == NULL);
    size_t before = engine->kept.count;
    struct list *next = NULL;
    for (struct list *at = engine->order.next; at != &engine->order; at = next) {
        next = at->next;
        struct script_kept *kept = list_entry(at, struct script_kept, link);
        struct script_home *home = home_of(kept, place);
        if (home != NULL) {
            kept->home_count--;
            *home = kept->homes[kept->home_count];
        }
        if (kept->home_count == 0) {
            drop(engine, kept);
        }
    }
    if (engine->kept.count < before) {
        lua_gc(engine->lua, LUA_GCCOLLECT, 0);
        engine->memory_base = engine->memory;
    }
}

unsigned script_engine_flags(struct slice source)
{
    char text[SCRIPT_TEXT_SIZE_MAX];
    unsigned flags = 0;
    size_t skip = 0;
    bool wrong = script_source_flags(source, &flags, &skip, text) != NULL;
    return wrong ? SCRIPT_PLAIN : flags;
}

/* Compiling, under protection: a parser needs memory. */
struct loading {
    struct slice source;
    int ref;
    struct buf *error;
};

static int load(lua_State *lua)
{
    struct loading *loading = lua_touserdata(lua, 1);
    struct slice source = loading->source;
    bool binary = source.len > 0 && source.data[0] == LUA_BYTECODE;
    int failed = LUA_ERRSYNTAX;
    if (binary) {
        lua_pushliteral(lua, "user_script: bytecode is not run");
    } else {
        failed = luaL_loadbuffer(lua, (const char *)source.data, source.len, "@user_script");
    }
    if (failed != 0) {
        resp_write_errorf(loading->error, "ERR Error compiling script (new function): %s",
                          lua_tostring(lua, -1));
        return 0;
    }
    loading->ref = luaL_ref(lua, LUA_REGISTRYINDEX);
    return 0;
}

static void keep(struct script_engine *engine, const struct script_kept *made, struct slice source)
{
    struct script_kept *kept = map_get(&engine->kept, kept_key(made->sha));
    if (kept != NULL) {
        drop(engine, kept);
    }
    kept = malloc(sizeof(*kept));
    assert(kept != NULL);
    *kept = *made;
    kept->source = malloc(source.len + 1);
    assert(kept->source != NULL);
    memcpy(kept->source, source.data, source.len);
    struct script_kept *before = map_put(&engine->kept, kept_key(kept->sha), kept);
    assert(before == NULL);
    list_push_back(&engine->order, &kept->link);
    engine->kept_size += kept->size;
    while (engine->kept.count > SCRIPT_KEPT_MAX ||
           (engine->kept_size > SCRIPT_KEPT_SIZE_MAX && engine->kept.count > 1)) {
        drop(engine, oldest(engine));
    }
}

enum status script_engine_load(struct script_engine *engine,
                               struct slice source,
                               unsigned *flags,
                               struct buf *error)
{
    assert(engine->run == NULL);
    struct script_kept made = {.size = source.len};
    sha1_bytes(source, made.sha);
    const struct script_kept *kept = find(engine, made.sha);
    if (kept != NULL) {
        *flags = kept->flags;
        return STATUS_OK;
    }
    if (source.len > SCRIPT_SIZE_MAX) {
        resp_write_error(error, "ERR the script is longer than 4 MB");
        return STATUS_BAD_ARGUMENT;
    }
    char text[SCRIPT_TEXT_SIZE_MAX];
    size_t skip = 0;
    const char *refusal = script_source_flags(source, &made.flags, &skip, text);
    if (refusal != NULL) {
        resp_write_errorf(error, "ERR %s", refusal);
        return STATUS_BAD_ARGUMENT;
    }
    struct loading loading = {.source = slice_of(source.data + skip, source.len - skip),
                              .ref = LUA_NOREF,
                              .error = error};
    engine->memory_limit = engine->memory + engine->memory_max;
    int failed = lua_cpcall(engine->lua, load, &loading);
    engine->memory_limit = 0;
    lua_settop(engine->lua, 0);
    if (failed != 0) {
        resp_write_error(error, "ERR Error compiling script (new function): not enough memory");
    }
    if (loading.ref == LUA_NOREF) {
        lua_gc(engine->lua, LUA_GCCOLLECT, 0);
        return STATUS_BAD_ARGUMENT;
    }
    made.ref = loading.ref;
    *flags = made.flags;
    keep(engine, &made, source);
    return STATUS_OK;
}

/* Running. */

/* __redis__err__handler() of Redis 7.0 eval.c: says where the error was raised. */
static int on_error(lua_State *lua)
{
    if (lua_checkstack(lua, 8) == 0) {
        return 1;
    }
    if (!lua_istable(lua, 1)) {
        lua_newtable(lua);
        lua_pushliteral(lua, "ERR ");
        if (lua_isstring(lua, 1) != 0) {
            lua_pushvalue(lua, 1);
        } else if (lua_isboolean(lua, 1)) {
            lua_pushstring(lua, lua_toboolean(lua, 1) != 0 ? "true" : "false");
        } else {
            lua_pushstring(lua, luaL_typename(lua, 1));
        }
        lua_concat(lua, 2);
        lua_setfield(lua, -2, "err");
        lua_replace(lua, 1);
    }
    lua_Debug at;
    int level = 1;
    bool found = lua_getstack(lua, level, &at) != 0 && lua_getinfo(lua, "nSl", &at) != 0;
    if (found && strcmp(at.what, "C") == 0) {
        found = lua_getstack(lua, level + 1, &at) != 0 && lua_getinfo(lua, "nSl", &at) != 0;
    }
    lua_settop(lua, 1);
    if (found && !script_sandbox_protected(lua, 1)) {
        /* Raw: what a script made of its table is not to run here, where no hook would end it. */
        lua_pushliteral(lua, "source");
        lua_pushstring(lua, at.source);
        lua_rawset(lua, 1);
        lua_pushliteral(lua, "line");
        lua_pushinteger(lua, at.currentline);
        lua_rawset(lua, 1);
    }
    return 1;
}

/* The text field of the table on top; stays on the stack, which is left anyway. NULL: none. */
static const char *text_field(lua_State *lua, int table, const char *name)
{
    lua_pushstring(lua, name);
    lua_rawget(lua, table);
    return lua_isstring(lua, -1) != 0 ? lua_tostring(lua, -1) : NULL;
}

static void append_line(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        bool end = *text == '\r' || *text == '\n';
        buf_append_u8(out, end ? ' ' : (uint8_t)*text);
    }
}

/* The error that ended the script is on top. */
static void write_failure(lua_State *lua, struct script_engine *engine)
{
    struct buf *out = engine->reply;
    if (!lua_istable(lua, -1)) {
        const char *text = lua_isstring(lua, -1) != 0 ? lua_tostring(lua, -1) : "execution failure";
        resp_write_errorf(out, "ERR Error running script %s, %.100s", engine->sha, text);
        return;
    }
    int table = lua_gettop(lua);
    const char *text = text_field(lua, table, "err");
    const char *source = text_field(lua, table, "source");
    const char *line = text_field(lua, table, "line");
    buf_append_u8(out, '-');
    append_line(out, text == NULL ? "ERR the script raised a table without the field err" : text);
    if (source != NULL && line != NULL) {
        buf_append_format(out, " script: %s, on ", engine->sha);
        append_line(out, source);
        buf_append_u8(out, ':');
        append_line(out, line);
        buf_append_u8(out, '.');
    }
    buf_append(out, "\r\n", 2);
}

static void set_array(lua_State *lua, const char *name, struct args values)
{
    lua_createtable(lua, (int)values.argc, 0);
    for (size_t i = 0; i < values.argc; i++) {
        lua_pushlstring(lua, (const char *)values.argv[i].data, values.argv[i].len);
        lua_rawseti(lua, -2, (int)(i + 1));
    }
    lua_pushstring(lua, name);
    lua_insert(lua, -2);
    lua_rawset(lua, -3);
}

struct running {
    int ref;
    int failed; /* Of the script: LUA_ERR... */
};

static int run_script(lua_State *lua)
{
    struct running *running = lua_touserdata(lua, 1);
    struct script_engine *engine = script_engine_of(lua);
    lua_pushcfunction(lua, on_error);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, engine->globals_ref);
    lua_replace(lua, LUA_GLOBALSINDEX);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, engine->values_ref);
    set_array(lua, "KEYS", engine->run->keys);
    set_array(lua, "ARGV", engine->run->argv);
    lua_pop(lua, 1);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, running->ref);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, engine->globals_ref);
    (void)lua_setfenv(lua, -2);
    running->failed = lua_pcall(lua, 0, 1, 2);
    if (engine->stop != STOP_NONE || running->failed == LUA_ERRMEM) {
        return 0;
    }
    if (running->failed != 0) {
        write_failure(lua, engine);
    } else {
        script_value_reply(lua, engine->protocol, engine->reply);
    }
    return 0;
}

static int clear_run(lua_State *lua)
{
    struct script_engine *engine = script_engine_of(lua);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, engine->values_ref);
    lua_pushliteral(lua, "KEYS");
    lua_pushnil(lua);
    lua_rawset(lua, -3);
    lua_pushliteral(lua, "ARGV");
    lua_pushnil(lua);
    lua_rawset(lua, -3);
    return 0;
}

/* Lua halves its table of strings and its stack at each collection, as far as they are unused. */
static void collect(struct script_engine *engine)
{
    size_t before = 0;
    do {
        before = engine->memory;
        lua_gc(engine->lua, LUA_GCCOLLECT, 0);
    } while (engine->memory < before - before / 8);
    engine->memory_base = engine->memory;
}

/* Leaves nothing of the run. */
static void clean(struct script_engine *engine)
{
    lua_State *lua = engine->lua;
    lua_sethook(lua, NULL, 0, 0);
    engine->memory_limit = 0;
    engine->run = NULL;
    engine->reply = NULL;
    lua_settop(lua, 0);
    int failed = lua_cpcall(lua, clear_run, NULL);
    assert(failed == 0);
    if (engine->memory > 2 * engine->memory_base + IDLE_MEMORY) {
        collect(engine);
    }
    struct buf *bufs[] = {&engine->answer, &engine->converted, &engine->scratch};
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++) {
        if (bufs[i]->size > IDLE_MEMORY) {
            buf_deinit(bufs[i]);
            buf_init(bufs[i], SIZE_MAX / 2);
        }
    }
}

static void begin(struct script_engine *engine, const struct script_run *run, struct buf *reply)
{
    engine->run = run;
    engine->reply = reply;
    engine->spent = 0;
    engine->hooks = 0;
    engine->stop = STOP_NONE;
    engine->failed = STATUS_OK;
    engine->protocol = 2;
    engine->random = run->seed & ((UINT64_C(1) << 48) - 1);
    engine->until_ns =
        run->time_ms_max == 0 ? 0 : clock_now_ns() + run->time_ms_max * UINT64_C(1000000);
    engine->memory_limit = engine->memory_base + engine->memory_max;
    lua_sethook(engine->lua, on_count, LUA_MASKCOUNT, HOOK_STEPS);
}

static enum script_end end_of(struct script_engine *engine, bool no_memory, struct buf *reply)
{
    switch (engine->stop) {
    case STOP_AGAIN: return SCRIPT_AGAIN;
    case STOP_FAILED: return SCRIPT_FAILED;
    case STOP_KILLED:
    case STOP_TIME:
        resp_write_errorf(reply, "ERR %s script: %s", stop_text(engine->stop), engine->sha);
        return SCRIPT_STOPPED;
    case STOP_NONE: break;
    }
    if (!no_memory) {
        return SCRIPT_DONE;
    }
    engine->out_of_memory++;
    resp_write_errorf(reply,
                      "ERR Script needs more memory than script-memory-max allows; nothing was "
                      "changed script: %s",
                      engine->sha);
    return SCRIPT_STOPPED;
}

enum script_end script_engine_run(struct script_engine *engine,
                                  const struct script_run *run,
                                  struct buf *reply,
                                  enum status *status)
{
    assert(engine->run == NULL);
    assert(run->call != NULL);
    const struct script_kept *kept = find_hex(engine, run->sha);
    if (kept == NULL) {
        return SCRIPT_UNKNOWN;
    }
    for (size_t i = 0; i < SHA1_HEX_SIZE; i++) {
        uint8_t digit = run->sha.data[i];
        engine->sha[i] = (char)(digit >= 'A' && digit <= 'F' ? digit | 0x20 : digit);
    }
    size_t reply_len = reply->len;
    begin(engine, run, reply);
    struct running running = {.ref = kept->ref};
    int failed = lua_cpcall(engine->lua, run_script, &running);
    bool no_memory = failed == LUA_ERRMEM || running.failed == LUA_ERRMEM;
    if (failed != 0 || no_memory || engine->stop != STOP_NONE) {
        buf_truncate(reply, reply_len);
    }
    if (failed != 0 && !no_memory && engine->stop == STOP_NONE) {
        write_failure(engine->lua, engine); /* Of making the reply. */
    }
    *status = engine->failed;
    enum script_end end = end_of(engine, no_memory, reply);
    clean(engine);
    return end;
}

uint64_t script_engine_spent(const struct script_engine *engine)
{
    return engine->spent;
}

void script_engine_stats(const struct script_engine *engine, struct script_engine_stats *stats)
{
    *stats = (struct script_engine_stats){.memory = engine->memory,
                                          .kept = engine->kept.count,
                                          .out_of_memory = engine->out_of_memory};
}
