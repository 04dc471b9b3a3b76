#include <math.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "server/script/script_private.h"

/* What scripts see of Lua: the globals of Redis 7.0, which they may read only. A table that is only
 * to be read is an empty one whose metatable leads to the real one, which no script gets hold of.
 * Of the library functions, those whose work no instruction counts charge for it first. */

int luaopen_cjson(lua_State *lua);
int luaopen_bit(lua_State *lua);

enum { CHARGE_SHARE = 16, JSON_DEPTH_MAX = 1000, JSON_NUMBER_SIZE = 24 };

/* Tables that are only read. */

static int readonly(lua_State *lua)
{
    return luaL_error(lua, "Attempt to modify a readonly table");
}

/* The same from a function of C, which Redis' errors do not place. */
static int readonly_here(lua_State *lua)
{
    lua_pushliteral(lua, "Attempt to modify a readonly table");
    return lua_error(lua);
}

bool script_sandbox_protected(lua_State *lua, int index)
{
    if (!lua_istable(lua, index) || lua_getmetatable(lua, index) == 0) {
        return false;
    }
    lua_pushliteral(lua, "__newindex");
    lua_rawget(lua, -2);
    bool found = lua_tocfunction(lua, -1) == readonly;
    lua_pop(lua, 2);
    return found;
}

/* Pushes the real table behind the protected one at index. */
static void push_real(lua_State *lua, int index)
{
    (void)lua_getmetatable(lua, index);
    lua_pushliteral(lua, "__index");
    lua_rawget(lua, -2);
    lua_remove(lua, -2);
}

void script_sandbox_protect(lua_State *lua)
{
    lua_newtable(lua);
    lua_createtable(lua, 0, 3);
    lua_pushvalue(lua, -3);
    lua_setfield(lua, -2, "__index");
    lua_pushcfunction(lua, readonly);
    lua_setfield(lua, -2, "__newindex");
    lua_pushboolean(lua, 0);
    lua_setfield(lua, -2, "__metatable");
    (void)lua_setmetatable(lua, -2);
    lua_remove(lua, -2);
}

static int no_global(lua_State *lua)
{
    const char *name = lua_isstring(lua, 2) != 0 ? lua_tostring(lua, 2) : luaL_typename(lua, 2);
    return luaL_error(lua, "Script attempted to access nonexistent global variable '%s'", name);
}

/* Functions of Lua's base library in another way. Their originals are upvalues, called as if they
 * were the caller, so that the names in their errors stay right. */

static int original(lua_State *lua)
{
    return lua_tocfunction(lua, lua_upvalueindex(1))(lua);
}

static int base_setmetatable(lua_State *lua)
{
    return script_sandbox_protected(lua, 1) ? readonly_here(lua) : original(lua);
}

/* Of the protected tables only the globals show one, which again is only read. */
static int base_getmetatable(lua_State *lua)
{
    if (script_sandbox_protected(lua, 1)) {
        lua_rawgeti(lua, LUA_REGISTRYINDEX, script_engine_of(lua)->globals_ref);
        if (lua_rawequal(lua, 1, -1) == 0) {
            lua_pushnil(lua);
            return 1;
        }
        lua_createtable(lua, 0, 1);
        lua_pushcfunction(lua, no_global);
        lua_setfield(lua, -2, "__index");
        script_sandbox_protect(lua);
        return 1;
    }
    return original(lua);
}

static int base_rawset(lua_State *lua)
{
    return script_sandbox_protected(lua, 1) ? readonly_here(lua) : original(lua);
}

static int base_rawget(lua_State *lua)
{
    if (script_sandbox_protected(lua, 1)) {
        luaL_checkany(lua, 2);
        lua_settop(lua, 2);
        push_real(lua, 1);
        lua_insert(lua, 2);
        lua_rawget(lua, 2);
        return 1;
    }
    return original(lua);
}

/* The real table is the upvalue. */
static int next_protected(lua_State *lua)
{
    lua_settop(lua, 2);
    if (lua_next(lua, lua_upvalueindex(1)) != 0) {
        return 2;
    }
    lua_pushnil(lua);
    return 1;
}

/* pairs() has upvalues of its own: next is the second. */
static int base_pairs(lua_State *lua)
{
    luaL_checktype(lua, 1, LUA_TTABLE);
    if (script_sandbox_protected(lua, 1)) {
        push_real(lua, 1);
        lua_pushcclosure(lua, next_protected, 1);
    } else {
        lua_pushvalue(lua, lua_upvalueindex(1));
    }
    lua_pushvalue(lua, 1);
    lua_pushnil(lua);
    return 3;
}

/* Redis' errors are tables; scripts that catch one get its text. */
static int base_pcall(lua_State *lua)
{
    luaL_checkany(lua, 1);
    int argc = lua_gettop(lua);
    lua_pushboolean(lua, 1);
    lua_insert(lua, 1);
    if (lua_pcall(lua, argc - 1, LUA_MULTRET, 0) != 0) {
        lua_remove(lua, 1);
        if (lua_istable(lua, -1)) {
            lua_getfield(lua, -1, "err");
            if (lua_isstring(lua, -1) != 0) {
                lua_replace(lua, -2);
            }
        }
        lua_pushboolean(lua, 0);
        lua_insert(lua, 1);
    }
    return lua_gettop(lua);
}

/* Lua runs the handler where the error is raised: in the hook that ends a script, no hook would end
 * the handler. So it is called when the stack is unwound. */
static int base_xpcall(lua_State *lua)
{
    luaL_checkany(lua, 2);
    lua_settop(lua, 2);
    lua_insert(lua, 1); /* handler, function */
    if (lua_pcall(lua, 0, LUA_MULTRET, 0) == 0) {
        lua_pushboolean(lua, 1);
        lua_replace(lua, 1);
        return lua_gettop(lua);
    }
    if (script_engine_of(lua)->stop != STOP_NONE) {
        return lua_error(lua);
    }
    (void)lua_pcall(lua, 1, 1, 0);
    lua_pushboolean(lua, 0);
    lua_insert(lua, 1);
    return 2;
}

static int load_text(lua_State *lua, struct slice text, const char *name)
{
    static const char bytecode = 27;
    script_engine_charge(lua, text.len);
    bool binary = text.len > 0 && text.data[0] == (uint8_t)bytecode;
    if (!binary && luaL_loadbuffer(lua, (const char *)text.data, text.len, name) == 0) {
        return 1;
    }
    if (binary) {
        lua_pushliteral(lua, "bytecode is not loaded");
    }
    lua_pushnil(lua);
    lua_insert(lua, -2);
    return 2;
}

static int base_loadstring(lua_State *lua)
{
    struct slice text;
    text.data = (const uint8_t *)luaL_checklstring(lua, 1, &text.len);
    return load_text(lua, text, luaL_optstring(lua, 2, (const char *)text.data));
}

/* load(function): the pieces are put together first. */
static int base_load(lua_State *lua)
{
    luaL_checktype(lua, 1, LUA_TFUNCTION);
    const char *name = luaL_optstring(lua, 2, "=(load)");
    lua_settop(lua, 2);
    lua_pushliteral(lua, "");
    while (true) {
        lua_pushvalue(lua, 1);
        lua_call(lua, 0, 1);
        size_t len = 0;
        if (lua_isnil(lua, -1)) {
            break;
        }
        if (lua_isstring(lua, -1) == 0) {
            return luaL_error(lua, "reader function must return a string");
        }
        (void)lua_tolstring(lua, -1, &len);
        if (len == 0) {
            break;
        }
        lua_concat(lua, 2);
        script_engine_charge(lua, lua_objlen(lua, -1) / CHARGE_SHARE);
    }
    lua_settop(lua, 3);
    struct slice text;
    text.data = (const uint8_t *)lua_tolstring(lua, 3, &text.len);
    return load_text(lua, text, name);
}

/* Lua collects by itself; a script cannot turn that off. */
static int base_collectgarbage(lua_State *lua)
{
    static const char *const words[] = {"collect", "count",    "stop",       "restart",
                                        "step",    "setpause", "setstepmul", NULL};
    enum { COLLECT, COUNT };
    int word = luaL_checkoption(lua, 1, "collect", words);
    size_t memory = script_engine_of(lua)->memory;
    if (word == COUNT) {
        lua_pushnumber(lua, (lua_Number)memory / 1024);
        return 1;
    }
    if (word == COLLECT) {
        script_engine_charge(lua, memory / CHARGE_SHARE);
        lua_gc(lua, LUA_GCCOLLECT, 0);
    }
    lua_pushinteger(lua, 0);
    return 1;
}

static int base_gcinfo(lua_State *lua)
{
    lua_pushinteger(lua, (lua_Integer)(script_engine_of(lua)->memory / 1024));
    return 1;
}

/* Functions that charge for the length of their first argument. */

static int charged(lua_State *lua)
{
    script_engine_charge(lua, lua_objlen(lua, 1) / CHARGE_SHARE);
    return original(lua);
}

static int charged_table(lua_State *lua)
{
    script_engine_charge(lua, lua_objlen(lua, 1));
    return original(lua);
}

static int charged_sort(lua_State *lua)
{
    size_t len = lua_objlen(lua, 1);
    uint64_t rounds = 1;
    for (size_t left = len; left > 1; left /= 2) {
        rounds++;
    }
    script_engine_charge(lua, len * rounds);
    return original(lua);
}

static int string_rep(lua_State *lua)
{
    size_t len = 0;
    const char *text = luaL_checklstring(lua, 1, &len);
    int count = luaL_checkint(lua, 2);
    struct script_engine *engine = script_engine_of(lua);
    size_t times = count < 0 ? 0 : (size_t)count;
    size_t total = 0;
    if (__builtin_mul_overflow(len, times, &total) || total > engine->memory_max) {
        return luaL_error(lua, "resulting string too large");
    }
    script_engine_charge(lua, total / CHARGE_SHARE);
    struct buf *out = &engine->scratch;
    buf_clear(out);
    if (total == 0) {
        lua_pushliteral(lua, "");
        return 1;
    }
    char *made = (char *)buf_reserve(out, total);
    memcpy(made, text, len);
    for (size_t have = len; have < total;) {
        size_t more = have < total - have ? have : total - have;
        memcpy(made + have, made, more);
        have += more;
    }
    lua_pushlstring(lua, made, total);
    return 1;
}

/* drand48's sequence, which Redis has on every machine. */
static lua_Number next_random(struct script_engine *engine)
{
    const uint64_t mask = (UINT64_C(1) << 48) - 1;
    engine->random = (engine->random * UINT64_C(0x5deece66d) + 11) & mask;
    return (lua_Number)((engine->random >> 17) % INT32_MAX) / (lua_Number)INT32_MAX;
}

static int math_random(lua_State *lua)
{
    lua_Number r = next_random(script_engine_of(lua));
    int argc = lua_gettop(lua);
    if (argc == 0) {
        lua_pushnumber(lua, r);
        return 1;
    }
    if (argc > 2) {
        return luaL_error(lua, "wrong number of arguments");
    }
    int low = argc == 1 ? 1 : luaL_checkint(lua, 1);
    int high = luaL_checkint(lua, argc);
    luaL_argcheck(lua, low <= high, argc, "interval is empty");
    lua_Number width =
        argc == 1 ? (lua_Number)high : (lua_Number)(int)((unsigned)high - (unsigned)low + 1);
    lua_pushnumber(lua, floor(r * width) + low);
    return 1;
}

static int math_randomseed(lua_State *lua)
{
    uint32_t seed = (uint32_t)luaL_checkint(lua, 1);
    script_engine_of(lua)->random = (uint64_t)seed << 16 | 0x330e;
    return 0;
}

/* cjson has memory of its own, which nobody counts, and recursion that its own settings bound. */

/* Adds up what encoding the value at index will take, at most; false: over left. */
static bool json_size(lua_State *lua, int index, size_t *left, int depth)
{
    size_t size = JSON_NUMBER_SIZE;
    if (lua_type(lua, index) == LUA_TSTRING) {
        size += 6 * lua_objlen(lua, index); /* \u0000 */
    }
    if (size > *left || depth == 0) {
        return depth == 0; /* cjson refuses what is that deep. */
    }
    *left -= size;
    if (!lua_istable(lua, index)) {
        return true;
    }
    luaL_checkstack(lua, 4, "cjson.encode");
    lua_pushnil(lua);
    while (lua_next(lua, index) != 0) {
        int top = lua_gettop(lua);
        bool fits =
            json_size(lua, top, left, depth - 1) && json_size(lua, top - 1, left, depth - 1);
        lua_pop(lua, 1);
        if (!fits) {
            return false;
        }
    }
    return true;
}

/* Upvalues: cjson's own, then its function. */
static int json_original(lua_State *lua)
{
    return lua_tocfunction(lua, lua_upvalueindex(2))(lua);
}

static int json_encode(lua_State *lua)
{
    size_t room = script_engine_of(lua)->memory_max;
    size_t left = room;
    int top = lua_gettop(lua);
    if (top == 1 && !json_size(lua, 1, &left, JSON_DEPTH_MAX + 1)) {
        return luaL_error(lua, "the text would be larger than script-memory-max");
    }
    lua_settop(lua, top);
    script_engine_charge(lua, (room - left) / CHARGE_SHARE);
    return json_original(lua);
}

static int json_decode(lua_State *lua)
{
    script_engine_charge(lua, lua_objlen(lua, 1) / CHARGE_SHARE);
    return json_original(lua);
}

static int json_depth(lua_State *lua)
{
    if (lua_isnumber(lua, 1) != 0 && lua_tonumber(lua, 1) > JSON_DEPTH_MAX) {
        return luaL_argerror(lua, 1, "expected integer between 1 and 1000");
    }
    return json_original(lua);
}

static int nothing(lua_State *lua)
{
    (void)lua;
    return 0;
}

/* The table is on top. */
static void wrap_json(lua_State *lua, const char *name, lua_CFunction wrapper)
{
    lua_getfield(lua, -1, name);
    if (lua_getupvalue(lua, -1, 1) == NULL) {
        lua_pushnil(lua);
    }
    lua_insert(lua, -2);
    lua_pushcclosure(lua, wrapper, 2);
    lua_setfield(lua, -2, name);
}

static void push_json(lua_State *lua)
{
    lua_pushcfunction(lua, luaopen_cjson);
    lua_call(lua, 0, 1);
    lua_getfield(lua, -1, "encode_keep_buffer");
    lua_pushboolean(lua, 0);
    lua_call(lua, 1, 0);
    wrap_json(lua, "encode", json_encode);
    wrap_json(lua, "decode", json_decode);
    wrap_json(lua, "encode_max_depth", json_depth);
    wrap_json(lua, "decode_max_depth", json_depth);
    lua_pushcfunction(lua, nothing);
    lua_setfield(lua, -2, "encode_keep_buffer");
    lua_pushnil(lua);
    lua_setfield(lua, -2, "new");
}

/* Putting it together. */

/* Puts wrapper, whose upvalue is the field's value, into the table on top. */
static void wrap(lua_State *lua, const char *name, lua_CFunction wrapper)
{
    lua_getfield(lua, -1, name);
    lua_pushcclosure(lua, wrapper, 1);
    lua_setfield(lua, -2, name);
}

static void put_function(lua_State *lua, const char *name, lua_CFunction function)
{
    lua_pushcfunction(lua, function);
    lua_setfield(lua, -2, name);
}

/* The table of the values is below the library on top: pops the library. */
static void put_library(lua_State *lua, const char *name)
{
    script_sandbox_protect(lua);
    lua_setfield(lua, -2, name);
}

static void put_string(lua_State *lua)
{
    static const char *const names[] = {"byte", "lower", "upper", "reverse", "sub", "format"};
    lua_getglobal(lua, "string");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        wrap(lua, names[i], charged);
    }
    put_function(lua, "rep", string_rep);
    script_pattern_open(lua);
    put_library(lua, "string");
    /* Methods, ("x"):rep(3), come from the real table; whoever asks for it sees the other. */
    lua_pushliteral(lua, "");
    int found = lua_getmetatable(lua, -1);
    assert(found != 0);
    lua_createtable(lua, 0, 1);
    lua_getfield(lua, -4, "string");
    lua_setfield(lua, -2, "__index");
    script_sandbox_protect(lua);
    lua_setfield(lua, -2, "__metatable");
    lua_pop(lua, 2);
}

static void put_table(lua_State *lua)
{
    static const char *const names[] = {"concat", "insert", "remove", "maxn"};
    lua_getglobal(lua, "table");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        wrap(lua, names[i], charged_table);
    }
    wrap(lua, "sort", charged_sort);
    put_library(lua, "table");
}

static void put_base(lua_State *lua)
{
    static const char *const names[] = {"tostring", "next",     "assert", "tonumber",
                                        "rawequal", "type",     "select", "unpack",
                                        "ipairs",   "_VERSION", "error"};
    static const struct {
        const char *name;
        const char *upvalue;
        lua_CFunction wrapper;
    } wrapped[] = {{"setmetatable", "setmetatable", base_setmetatable},
                   {"getmetatable", "getmetatable", base_getmetatable},
                   {"rawset", "rawset", base_rawset},
                   {"rawget", "rawget", base_rawget},
                   {"pairs", "next", base_pairs}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        lua_getglobal(lua, names[i]);
        lua_setfield(lua, -2, names[i]);
    }
    for (size_t i = 0; i < sizeof(wrapped) / sizeof(wrapped[0]); i++) {
        lua_getglobal(lua, wrapped[i].upvalue);
        lua_pushcclosure(lua, wrapped[i].wrapper, 1);
        lua_setfield(lua, -2, wrapped[i].name);
    }
    put_function(lua, "pcall", base_pcall);
    put_function(lua, "xpcall", base_xpcall);
    put_function(lua, "load", base_load);
    put_function(lua, "loadstring", base_loadstring);
    put_function(lua, "collectgarbage", base_collectgarbage);
    put_function(lua, "gcinfo", base_gcinfo);
}

static void open_lua(lua_State *lua)
{
    static const lua_CFunction libraries[] = {luaopen_base, luaopen_table, luaopen_string,
                                              luaopen_math, luaopen_bit};
    for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++) {
        lua_pushcfunction(lua, libraries[i]);
        lua_call(lua, 0, 0);
    }
}

void script_sandbox_open(lua_State *lua)
{
    struct script_engine *engine = script_engine_of(lua);
    open_lua(lua);
    lua_newtable(lua); /* The values of the globals. */
    put_base(lua);
    put_string(lua);
    put_table(lua);
    lua_getglobal(lua, "math");
    put_function(lua, "random", math_random);
    put_function(lua, "randomseed", math_randomseed);
    put_library(lua, "math");
    lua_getglobal(lua, "bit");
    put_library(lua, "bit");
    lua_getglobal(lua, "coroutine");
    put_library(lua, "coroutine");
    push_json(lua);
    put_library(lua, "cjson");
    lua_newtable(lua);
    script_struct_open(lua);
    put_library(lua, "struct");
    lua_newtable(lua);
    script_msgpack_open(lua);
    put_library(lua, "cmsgpack");
    script_redis_push(lua);
    put_library(lua, "redis");
    lua_createtable(lua, 0, 1);
    put_function(lua, "__index", no_global);
    (void)lua_setmetatable(lua, -2);
    lua_pushvalue(lua, -1);
    script_sandbox_protect(lua);
    lua_pushvalue(lua, -1);
    lua_setfield(lua, -3, "_G");
    engine->globals_ref = luaL_ref(lua, LUA_REGISTRYINDEX);
    engine->values_ref = luaL_ref(lua, LUA_REGISTRYINDEX);
}
