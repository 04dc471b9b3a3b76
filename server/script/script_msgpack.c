#include <limits.h>
#include <math.h>

#include "common/base/assert.h"
#include "server/script/script_private.h"

/* The library cmsgpack as Redis has it: MessagePack with 64-bit floats, tables without holes as
 * arrays, all others as maps, at most 16 levels (deeper ones are nil). */

enum { NESTING_MAX = 16, UNPACK_DEPTH_MAX = 200, CHARGE_SHARE = 8 };

/* Packing. The bytes gather in the engine's scratch: nothing here calls back into Lua code, but for
 * a metamethod, which may pack something itself; so tables are read raw. */

static void add_be(struct buf *out, uint8_t head, uint64_t value, size_t size)
{
    buf_append_u8(out, head);
    for (size_t i = size; i > 0; i--) {
        buf_append_u8(out, (uint8_t)(value >> (8 * (i - 1))));
    }
}

static void add_string(struct buf *out, struct slice text)
{
    if (text.len < 32) {
        buf_append_u8(out, (uint8_t)(0xa0 | text.len));
    } else if (text.len <= UINT8_MAX) {
        add_be(out, 0xd9, text.len, 1);
    } else if (text.len <= UINT16_MAX) {
        add_be(out, 0xda, text.len, 2);
    } else {
        add_be(out, 0xdb, text.len, 4);
    }
    buf_append_slice(out, text);
}

static void add_integer(struct buf *out, int64_t value)
{
    if (value >= 0) {
        if (value <= 127) {
            buf_append_u8(out, (uint8_t)value);
        } else if (value <= UINT8_MAX) {
            add_be(out, 0xcc, (uint64_t)value, 1);
        } else if (value <= UINT16_MAX) {
            add_be(out, 0xcd, (uint64_t)value, 2);
        } else if (value <= UINT32_MAX) {
            add_be(out, 0xce, (uint64_t)value, 4);
        } else {
            add_be(out, 0xcf, (uint64_t)value, 8);
        }
    } else if (value >= -32) {
        buf_append_u8(out, (uint8_t)value);
    } else if (value >= INT8_MIN) {
        add_be(out, 0xd0, (uint64_t)value, 1);
    } else if (value >= INT16_MIN) {
        add_be(out, 0xd1, (uint64_t)value, 2);
    } else if (value >= INT32_MIN) {
        add_be(out, 0xd2, (uint64_t)value, 4);
    } else {
        add_be(out, 0xd3, (uint64_t)value, 8);
    }
}

static bool is_integral(lua_Number number)
{
    return number >= -9223372036854775808.0 && number < 9223372036854775808.0 &&
           number == floor(number);
}

static void add_number(struct buf *out, lua_Number number)
{
    if (is_integral(number)) {
        add_integer(out, (int64_t)number);
        return;
    }
    float narrow = (float)number;
    if ((lua_Number)narrow == number) {
        uint32_t bits = 0;
        memcpy(&bits, &narrow, sizeof(bits));
        add_be(out, 0xca, bits, 4);
    } else {
        uint64_t bits = 0;
        memcpy(&bits, &number, sizeof(bits));
        add_be(out, 0xcb, bits, 8);
    }
}

static void add_count(struct buf *out, size_t count, uint8_t fixed, uint8_t wide)
{
    if (count < 16) {
        buf_append_u8(out, (uint8_t)(fixed | count));
    } else if (count <= UINT16_MAX) {
        add_be(out, wide, count, 2);
    } else {
        add_be(out, (uint8_t)(wide + 1), count, 4);
    }
}

static void pack_value(lua_State *lua, struct buf *out, int level);

/* The table on top: how many pairs, and whether its keys are 1 to that number. */
static size_t count_pairs(lua_State *lua, bool *array)
{
    size_t count = 0;
    lua_Number most = 0;
    *array = true;
    lua_pushnil(lua);
    while (lua_next(lua, -2) != 0) {
        lua_pop(lua, 1);
        count++;
        lua_Number key = lua_type(lua, -1) == LUA_TNUMBER ? lua_tonumber(lua, -1) : 0;
        bool index = key > 0 && key <= INT_MAX && key == floor(key);
        *array = *array && index;
        most = key > most ? key : most;
    }
    *array = *array && most == (lua_Number)count;
    return count;
}

/* The table stays on top. */
static void pack_table(lua_State *lua, struct buf *out, int level)
{
    bool array = false;
    size_t count = count_pairs(lua, &array);
    script_engine_charge(lua, count);
    if (array) {
        add_count(out, count, 0x90, 0xdc);
        for (size_t i = 1; i <= count; i++) {
            lua_rawgeti(lua, -1, (int)i);
            pack_value(lua, out, level + 1);
        }
        return;
    }
    add_count(out, count, 0x80, 0xde);
    lua_pushnil(lua);
    while (lua_next(lua, -2) != 0) {
        lua_pushvalue(lua, -2);
        pack_value(lua, out, level + 1);
        pack_value(lua, out, level + 1);
    }
}

/* Pops it. */
static void pack_value(lua_State *lua, struct buf *out, int level)
{
    luaL_checkstack(lua, 8, "cmsgpack.pack");
    if (out->len > script_engine_of(lua)->memory_max) {
        (void)luaL_error(lua, "the text would be larger than script-memory-max");
    }
    int type = lua_type(lua, -1);
    if (type == LUA_TSTRING) {
        struct slice text;
        text.data = (const uint8_t *)lua_tolstring(lua, -1, &text.len);
        add_string(out, text);
        script_engine_charge(lua, text.len / CHARGE_SHARE);
    } else if (type == LUA_TNUMBER) {
        add_number(out, lua_tonumber(lua, -1));
    } else if (type == LUA_TBOOLEAN) {
        buf_append_u8(out, lua_toboolean(lua, -1) != 0 ? 0xc3 : 0xc2);
    } else if (type == LUA_TTABLE && level < NESTING_MAX) {
        pack_table(lua, out, level);
    } else {
        buf_append_u8(out, 0xc0);
    }
    lua_pop(lua, 1);
}

static int msgpack_pack(lua_State *lua)
{
    int argc = lua_gettop(lua);
    if (argc == 0) {
        return luaL_argerror(lua, 0, "MessagePack pack needs input.");
    }
    struct buf *out = &script_engine_of(lua)->scratch;
    buf_clear(out);
    for (int i = 1; i <= argc; i++) {
        luaL_checkstack(lua, 1, "cmsgpack.pack");
        lua_pushvalue(lua, i);
        pack_value(lua, out, 0);
    }
    lua_pushlstring(lua, (const char *)out->data, out->len);
    return 1;
}

/* Unpacking. */

struct input {
    const uint8_t *at;
    size_t left;
};

static const uint8_t *take(lua_State *lua, struct input *in, size_t size)
{
    if (in->left < size) {
        (void)luaL_error(lua, "Missing bytes in input.");
    }
    const uint8_t *from = in->at;
    in->at += size;
    in->left -= size;
    return from;
}

static uint64_t take_be(lua_State *lua, struct input *in, size_t size)
{
    const uint8_t *bytes = take(lua, in, size);
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

static void push_value(lua_State *lua, struct input *in, int depth);

static void push_string(lua_State *lua, struct input *in, size_t len)
{
    const uint8_t *bytes = take(lua, in, len);
    lua_pushlstring(lua, (const char *)bytes, len);
    script_engine_charge(lua, len / CHARGE_SHARE);
}

static void push_array(lua_State *lua, struct input *in, size_t count, int depth)
{
    lua_newtable(lua);
    for (size_t i = 1; i <= count; i++) {
        push_value(lua, in, depth);
        lua_rawseti(lua, -2, (int)i);
    }
}

static void push_map(lua_State *lua, struct input *in, size_t count, int depth)
{
    lua_newtable(lua);
    for (size_t i = 0; i < count; i++) {
        push_value(lua, in, depth);
        push_value(lua, in, depth);
        lua_settable(lua, -3); /* A key that cannot be one is an error of the script. */
    }
}

static void push_float(lua_State *lua, struct input *in)
{
    uint32_t bits = (uint32_t)take_be(lua, in, 4);
    float value = 0;
    memcpy(&value, &bits, sizeof(value));
    lua_pushnumber(lua, (lua_Number)value);
}

static void push_double(lua_State *lua, struct input *in)
{
    uint64_t bits = take_be(lua, in, 8);
    double value = 0;
    memcpy(&value, &bits, sizeof(value));
    lua_pushnumber(lua, value);
}

/* Values whose first byte says all. */
static void push_short(lua_State *lua, struct input *in, uint8_t head, int depth)
{
    if (head < 0x80) {
        lua_pushinteger(lua, head);
    } else if (head >= 0xe0) {
        lua_pushinteger(lua, (int8_t)head);
    } else if ((head & 0xe0) == 0xa0) {
        push_string(lua, in, head & 0x1f);
    } else if ((head & 0xf0) == 0x90) {
        push_array(lua, in, head & 0xf, depth);
    } else if ((head & 0xf0) == 0x80) {
        push_map(lua, in, head & 0xf, depth);
    } else {
        (void)luaL_error(lua, "Bad data format in input.");
    }
}

static void push_value(lua_State *lua, struct input *in, int depth)
{
    luaL_checkstack(lua, 8,
                    "too many return values at once; use unpack_one or unpack_limit instead.");
    if (depth == 0) {
        (void)luaL_error(lua, "Input is nested too deep.");
    }
    script_engine_charge(lua, 1);
    uint8_t head = *take(lua, in, 1);
    switch (head) {
    case 0xc0: lua_pushnil(lua); break;
    case 0xc2: lua_pushboolean(lua, 0); break;
    case 0xc3: lua_pushboolean(lua, 1); break;
    case 0xca: push_float(lua, in); break;
    case 0xcb: push_double(lua, in); break;
    case 0xcc: lua_pushnumber(lua, (lua_Number)take_be(lua, in, 1)); break;
    case 0xcd: lua_pushnumber(lua, (lua_Number)take_be(lua, in, 2)); break;
    case 0xce: lua_pushnumber(lua, (lua_Number)take_be(lua, in, 4)); break;
    case 0xd0: lua_pushnumber(lua, (lua_Number)(int8_t)take_be(lua, in, 1)); break;
    case 0xd1: lua_pushnumber(lua, (lua_Number)(int16_t)take_be(lua, in, 2)); break;
    case 0xd2: lua_pushnumber(lua, (lua_Number)(int32_t)take_be(lua, in, 4)); break;
    case 0xcf: /* Signed, as with Redis. */
    case 0xd3: lua_pushnumber(lua, (lua_Number)(int64_t)take_be(lua, in, 8)); break;
    case 0xd9: push_string(lua, in, take_be(lua, in, 1)); break;
    case 0xda: push_string(lua, in, take_be(lua, in, 2)); break;
    case 0xdb: push_string(lua, in, take_be(lua, in, 4)); break;
    case 0xdc: push_array(lua, in, take_be(lua, in, 2), depth - 1); break;
    case 0xdd: push_array(lua, in, take_be(lua, in, 4), depth - 1); break;
    case 0xde: push_map(lua, in, take_be(lua, in, 2), depth - 1); break;
    case 0xdf: push_map(lua, in, take_be(lua, in, 4), depth - 1); break;
    default: push_short(lua, in, head, depth - 1); break;
    }
}

/* limit 0 and offset 0: all, without the offset of what follows. */
static int unpack(lua_State *lua, lua_Integer limit, lua_Integer offset)
{
    size_t len = 0;
    const char *bytes = luaL_checklstring(lua, 1, &len);
    bool all = limit == 0 && offset == 0;
    if (offset < 0 || limit < 0) {
        return luaL_error(lua, "Invalid request to unpack with offset of %d and limit of %d.",
                          (int)offset, (int)len);
    }
    if ((size_t)offset > len) {
        return luaL_error(lua, "Start offset %d greater than input length %d.", (int)offset,
                          (int)len);
    }
    struct input in = {.at = (const uint8_t *)bytes + offset, .left = len - (size_t)offset};
    int count = 0;
    for (; in.left > 0 && (all || count < limit); count++) {
        push_value(lua, &in, UNPACK_DEPTH_MAX);
    }
    if (all) {
        return count;
    }
    luaL_checkstack(lua, 1, "cmsgpack.unpack");
    lua_pushinteger(lua, in.left == 0 ? -1 : (lua_Integer)(len - in.left));
    lua_insert(lua, 2);
    return count + 1;
}

static int msgpack_unpack(lua_State *lua)
{
    (void)luaL_checkstring(lua, 1);
    lua_settop(lua, 1);
    return unpack(lua, 0, 0);
}

static int msgpack_unpack_one(lua_State *lua)
{
    lua_Integer offset = luaL_optinteger(lua, 2, 0);
    lua_settop(lua, 1);
    return unpack(lua, 1, offset);
}

static int msgpack_unpack_limit(lua_State *lua)
{
    lua_Integer limit = luaL_checkinteger(lua, 2);
    lua_Integer offset = luaL_optinteger(lua, 3, 0);
    lua_settop(lua, 1);
    return unpack(lua, limit, offset);
}

void script_msgpack_open(lua_State *lua)
{
    static const luaL_Reg functions[] = {{"pack", msgpack_pack},
                                         {"unpack", msgpack_unpack},
                                         {"unpack_one", msgpack_unpack_one},
                                         {"unpack_limit", msgpack_unpack_limit},
                                         {NULL, NULL}};
    luaL_register(lua, NULL, functions);
    lua_pushliteral(lua, "cmsgpack");
    lua_setfield(lua, -2, "_NAME");
    lua_pushliteral(lua, "lua-cmsgpack 0.4.0");
    lua_setfield(lua, -2, "_VERSION");
}
