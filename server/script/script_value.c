#include <stdlib.h>

#include "common/base/assert.h"
#include "common/proto/resp.h"
#include "server/script/script_private.h"

/* Replies as Lua values and back: Redis 7.0 script_lua.c. Both walk nested values by recursion, to
 * at most SCRIPT_DEPTH_MAX levels. */

static struct slice trimmed(struct slice text)
{
    while (text.len > 0 && (text.data[0] == '\r' || text.data[0] == '\n')) {
        text = slice_of(text.data + 1, text.len - 1);
    }
    while (text.len > 0 && (text.data[text.len - 1] == '\r' || text.data[text.len - 1] == '\n')) {
        text.len--;
    }
    return text;
}

void script_value_push_error(lua_State *lua, struct slice text)
{
    lua_newtable(lua);
    const uint8_t *space = NULL;
    if (text.len > 0 && text.data[0] == '-') {
        text = slice_of(text.data + 1, text.len - 1);
        space = text.len == 0 ? NULL : memchr(text.data, ' ', text.len);
    }
    if (space == NULL) {
        lua_pushliteral(lua, "ERR ");
        text = trimmed(text);
    } else {
        lua_pushlstring(lua, (const char *)text.data, (size_t)(space + 1 - text.data));
        text = trimmed(slice_of(space + 1, text.len - (size_t)(space + 1 - text.data)));
    }
    lua_pushlstring(lua, (const char *)text.data, text.len);
    lua_concat(lua, 2);
    lua_setfield(lua, -2, "err");
}

/* {name = text} */
static void push_field(lua_State *lua, const char *name, struct slice text)
{
    lua_newtable(lua);
    lua_pushlstring(lua, (const char *)text.data, text.len);
    lua_setfield(lua, -2, name);
}

static void push_verbatim(lua_State *lua, const struct resp_value *value)
{
    lua_newtable(lua);
    push_field(lua, "string", value->bytes);
    lua_pushlstring(lua, (const char *)value->bytes.data - 4, 3);
    lua_setfield(lua, -2, "format");
    lua_setfield(lua, -2, "verbatim_string");
}

static void push_scalar3(lua_State *lua, const struct resp_value *value)
{
    switch (value->type) {
    case '_':
    case '*': lua_pushnil(lua); break;
    case '#': lua_pushboolean(lua, (int)value->number); break;
    case '(': push_field(lua, "big_number", value->bytes); break;
    case '=': push_verbatim(lua, value); break;
    default: {
        char text[64] = {0};
        assert(value->type == ',' && value->bytes.len < sizeof(text));
        memcpy(text, value->bytes.data, value->bytes.len);
        lua_newtable(lua);
        lua_pushnumber(lua, strtod(text, NULL));
        lua_setfield(lua, -2, "double");
        break;
    }
    }
}

static void push_scalar(lua_State *lua, const struct resp_value *value, int protocol)
{
    switch (value->type) {
    case '+': push_field(lua, "ok", value->bytes); return;
    case '-': {
        /* The text with its '-'. */
        script_value_push_error(lua, slice_of(value->bytes.data - 1, value->bytes.len + 1));
        lua_pushboolean(lua, 1);
        lua_setfield(lua, -2, "ignore_error_stats_update");
        return;
    }
    case ':': lua_pushnumber(lua, (lua_Number)value->number); return;
    case '$': {
        if (value->null) {
            lua_pushboolean(lua, 0);
        } else {
            lua_pushlstring(lua, (const char *)value->bytes.data, value->bytes.len);
        }
        return;
    }
    default: break;
    }
    if (protocol == 3) {
        push_scalar3(lua, value);
    } else if (value->null) {
        lua_pushboolean(lua, 0);
    } else if (value->type == '#') {
        lua_pushnumber(lua, (lua_Number)value->number);
    } else {
        lua_pushlstring(lua, (const char *)value->bytes.data, value->bytes.len);
    }
}

static size_t push_value(lua_State *lua, struct slice reply, int protocol, int depth);

/* The elements that follow a header, into the table on top. */
static size_t fill(
    lua_State *lua, struct slice reply, const struct resp_value *head, int protocol, int depth)
{
    size_t at = head->size_used;
    bool pairs = protocol == 3 && head->type == '%';
    bool set = protocol == 3 && head->type == '~';
    for (int64_t i = 0; i < head->number; i++) {
        at += push_value(lua, slice_of(reply.data + at, reply.len - at), protocol, depth);
        if (set) {
            lua_pushboolean(lua, 1);
            lua_settable(lua, -3);
        } else if (pairs) {
            i++;
            at += push_value(lua, slice_of(reply.data + at, reply.len - at), protocol, depth);
            lua_settable(lua, -3);
        } else {
            lua_rawseti(lua, -2, (int)(i + 1));
        }
    }
    return at;
}

/* Returns the bytes used. */
static size_t push_value(lua_State *lua, struct slice reply, int protocol, int depth)
{
    struct resp_value value;
    enum status status = resp_value_read(reply, &value);
    assert(status == STATUS_OK); /* The machine wrote it. */
    luaL_checkstack(lua, 6, "a reply");
    bool aggregate = !value.null && value.type != 0 && strchr("*%~>", value.type) != NULL;
    if (!aggregate) {
        push_scalar(lua, &value, protocol);
        return value.size_used;
    }
    if (depth == 0) {
        (void)luaL_error(lua, "a reply is nested too deep");
    }
    script_engine_charge(lua, (uint64_t)value.number);
    bool named = protocol == 3 && (value.type == '%' || value.type == '~');
    if (named) {
        lua_newtable(lua);
    }
    lua_createtable(lua, named ? 0 : (int)value.number, 0);
    size_t used = fill(lua, reply, &value, protocol, depth - 1);
    if (named) {
        lua_setfield(lua, -2, value.type == '%' ? "map" : "set");
    }
    return used;
}

void script_value_push(lua_State *lua, struct slice reply, int protocol)
{
    assert(reply.len > 0);
    bool same = strchr("+-:", reply.data[0]) != NULL;
    struct buf *converted = &script_engine_of(lua)->converted;
    if (!same) {
        /* The machine's form has shapes of its own. */
        buf_clear(converted);
        resp_convert(reply, protocol, converted);
        reply = buf_slice(converted);
    }
    size_t used = push_value(lua, reply, protocol, SCRIPT_DEPTH_MAX);
    assert(used == reply.len);
}

/* From here on: Lua to replies. */

static void write_line(struct buf *out, char type, const char *text)
{
    buf_append_u8(out, (uint8_t)type);
    for (; *text != '\0'; text++) {
        bool end = *text == '\r' || *text == '\n';
        buf_append_u8(out, end ? ' ' : (uint8_t)*text);
    }
    buf_append(out, "\r\n", 2);
}

static void write_verbatim(struct buf *out, const char *format, struct slice text)
{
    char tag[4] = "   ";
    for (size_t i = 0; i < 3 && format[i] != '\0'; i++) {
        tag[i] = format[i];
    }
    tag[3] = ':';
    buf_append_format(out, "=%zu\r\n", text.len + sizeof(tag));
    buf_append(out, tag, sizeof(tag));
    buf_append_slice(out, text);
    buf_append(out, "\r\n", 2);
}

/* As a C cast on x86-64 has it, which Redis relies on. */
static int64_t truncated(lua_Number number)
{
    bool fits = number >= -9223372036854775808.0 && number < 9223372036854775808.0;
    return fits ? (int64_t)number : INT64_MIN;
}

/* Pushes the field of the table on top if it has that type; else pushes nothing. */
static bool field(lua_State *lua, const char *name, int type)
{
    lua_pushstring(lua, name);
    lua_rawget(lua, -2);
    if (lua_type(lua, -1) == type) {
        return true;
    }
    lua_pop(lua, 1);
    return false;
}

static void write_value(lua_State *lua, int protocol, struct buf *out, int depth);

/* {verbatim_string = {format = ..., string = ...}}: the inner table is on top. */
static bool verbatim(lua_State *lua, struct buf *out)
{
    if (!field(lua, "format", LUA_TSTRING)) {
        return false;
    }
    lua_insert(lua, -2);
    if (!field(lua, "string", LUA_TSTRING)) {
        lua_remove(lua, -2);
        return false;
    }
    struct slice text;
    text.data = (const uint8_t *)lua_tolstring(lua, -1, &text.len);
    write_verbatim(out, lua_tostring(lua, -3), text);
    lua_pop(lua, 1);
    lua_remove(lua, -2);
    return true;
}

/* The table on top, pair by pair. */
static void write_pairs(lua_State *lua, int protocol, struct buf *out, int depth, bool map)
{
    size_t count = 0;
    lua_pushnil(lua);
    while (lua_next(lua, -2) != 0) {
        lua_pop(lua, 1);
        count++;
    }
    if (map) {
        resp_write_map(out, count);
    } else {
        resp_write_set(out, count);
    }
    lua_pushnil(lua);
    while (lua_next(lua, -2) != 0) {
        lua_pushvalue(lua, -2);
        write_value(lua, protocol, out, depth);
        if (map) {
            write_value(lua, protocol, out, depth);
        } else {
            lua_pop(lua, 1);
        }
    }
}

static void write_array(lua_State *lua, int protocol, struct buf *out, int depth)
{
    int count = 0;
    for (;; count++) {
        lua_rawgeti(lua, -1, count + 1);
        bool end = lua_isnil(lua, -1);
        lua_pop(lua, 1);
        if (end) {
            break;
        }
    }
    script_engine_charge(lua, (uint64_t)count);
    resp_write_array(out, (size_t)count);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(lua, -1, i);
        write_value(lua, protocol, out, depth);
    }
}

/* A table that stands for something else than an array. */
static bool write_special(lua_State *lua, int protocol, struct buf *out, int depth)
{
    if (field(lua, "err", LUA_TSTRING)) {
        write_line(out, '-', lua_tostring(lua, -1));
    } else if (field(lua, "ok", LUA_TSTRING)) {
        write_line(out, '+', lua_tostring(lua, -1));
    } else if (field(lua, "double", LUA_TNUMBER)) {
        resp_write_double(out, lua_tonumber(lua, -1));
    } else if (field(lua, "big_number", LUA_TSTRING)) {
        write_line(out, '(', lua_tostring(lua, -1));
    } else if (field(lua, "verbatim_string", LUA_TTABLE)) {
        if (!verbatim(lua, out)) {
            lua_pop(lua, 1);
            return false;
        }
    } else if (field(lua, "map", LUA_TTABLE)) {
        write_pairs(lua, protocol, out, depth, true);
    } else if (field(lua, "set", LUA_TTABLE)) {
        write_pairs(lua, protocol, out, depth, false);
    } else {
        return false;
    }
    lua_pop(lua, 1);
    return true;
}

/* Pops it. */
static void write_value(lua_State *lua, int protocol, struct buf *out, int depth)
{
    if (depth == 0 || lua_checkstack(lua, 8) == 0) {
        resp_write_error(out, "ERR reached lua stack limit");
        lua_pop(lua, 1);
        return;
    }
    if (out->len > script_engine_of(lua)->memory_max) {
        (void)luaL_error(lua, "the reply is larger than script-memory-max");
    }
    int type = lua_type(lua, -1);
    if (type == LUA_TSTRING) {
        struct slice text;
        text.data = (const uint8_t *)lua_tolstring(lua, -1, &text.len);
        resp_write_bulk(out, text);
    } else if (type == LUA_TNUMBER) {
        resp_write_int(out, truncated(lua_tonumber(lua, -1)));
    } else if (type == LUA_TBOOLEAN && protocol == 3) {
        resp_write_bool(out, lua_toboolean(lua, -1) != 0);
    } else if (type == LUA_TBOOLEAN && lua_toboolean(lua, -1) != 0) {
        resp_write_int(out, 1);
    } else if (type != LUA_TTABLE) {
        resp_write_null(out);
    } else if (!write_special(lua, protocol, out, depth - 1)) {
        write_array(lua, protocol, out, depth - 1);
    }
    lua_pop(lua, 1);
}

void script_value_reply(lua_State *lua, int protocol, struct buf *out)
{
    write_value(lua, protocol, out, SCRIPT_DEPTH_MAX);
}
