#include <ctype.h>
#include <limits.h>

#include "common/base/assert.h"
#include "server/script/script_private.h"

/* The library struct as Redis has it: numbers and strings to and from bytes by a format.
 *   > < ! n   big or little endian, alignment    x       a zero byte
 *   b B h H l L T i In  integers                 f d     floats
 *   s         a string and a zero byte           cn      n bytes; c0: as many as there are, or as
 *                                                        the number before says
 * Both directions are x86-64's: little endian, 8 bytes to a long. */

enum { INTEGER_SIZE_MAX = 32, ALIGN_MAX = 8 };

struct format {
    const char *at;
    bool big;
    size_t align;
};

/* One item of a format. */
struct item {
    char kind;
    size_t size;
};

static int number_of(lua_State *lua, struct format *format, int otherwise)
{
    if (isdigit((unsigned char)*format->at) == 0) {
        return otherwise;
    }
    int value = 0;
    for (; isdigit((unsigned char)*format->at) != 0; format->at++) {
        int digit = *format->at - '0';
        if (value > INT_MAX / 10 || value * 10 > INT_MAX - digit) {
            return luaL_error(lua, "integral size overflow");
        }
        value = value * 10 + digit;
    }
    return value;
}

static size_t size_of(lua_State *lua, char kind, struct format *format)
{
    switch (kind) {
    case 'b':
    case 'B':
    case 'x': return 1;
    case 'h':
    case 'H': return sizeof(short);
    case 'l':
    case 'L': return sizeof(long);
    case 'T': return sizeof(size_t);
    case 'f': return sizeof(float);
    case 'd': return sizeof(double);
    case 'c': return (size_t)number_of(lua, format, 1);
    case 'i':
    case 'I': {
        int size = number_of(lua, format, sizeof(int));
        if (size > INTEGER_SIZE_MAX) {
            (void)luaL_error(lua, "integral size %d is larger than limit of %d", size,
                             INTEGER_SIZE_MAX);
        }
        return (size_t)size;
    }
    default: return 0;
    }
}

static bool is_integer(char kind)
{
    return kind != '\0' && strchr("bBhHlLTiI", kind) != NULL;
}

/* Takes the next item; false at the end. */
static bool next_item(lua_State *lua, struct format *format, struct item *item)
{
    if (*format->at == '\0') {
        return false;
    }
    item->kind = *format->at;
    format->at++;
    item->size = size_of(lua, item->kind, format);
    return true;
}

/* Bytes before an item that is to lie at position. */
static size_t padding(const struct format *format, const struct item *item, size_t position)
{
    size_t size = item->size;
    if (size == 0 || item->kind == 'c') {
        return 0;
    }
    size = size > format->align ? format->align : size;
    return (size - (position & (size - 1))) & (size - 1);
}

static void control(lua_State *lua, struct format *format, char kind)
{
    if (kind == ' ') {
        return;
    }
    if (kind == '>' || kind == '<') {
        format->big = kind == '>';
        return;
    }
    if (kind != '!') {
        const char *text = lua_pushfstring(lua, "invalid format option '%c'", kind);
        (void)luaL_argerror(lua, 1, text);
    }
    int align = number_of(lua, format, ALIGN_MAX);
    if (align <= 0 || (align & (align - 1)) != 0) {
        (void)luaL_error(lua, "alignment %d is not a power of 2", align);
    }
    format->align = (size_t)align;
}

/* As a C cast on x86-64. */
static uint64_t to_bits(lua_Number number)
{
    bool is_signed = number >= -9223372036854775808.0 && number < 9223372036854775808.0;
    if (is_signed) {
        return (uint64_t)(int64_t)number;
    }
    bool fits = number > 0 && number < 18446744073709551616.0;
    return fits ? (uint64_t)number : UINT64_C(1) << 63;
}

static void add_integer(luaL_Buffer *out, uint64_t value, size_t size, bool big)
{
    char bytes[INTEGER_SIZE_MAX];
    for (size_t i = 0; i < size; i++) {
        bytes[big ? size - 1 - i : i] = (char)(i < sizeof(value) ? value >> (8 * i) : 0);
    }
    luaL_addlstring(out, bytes, size);
}

static void swap_if(bool big, uint8_t *bytes, size_t size)
{
    for (size_t i = 0; big && i < size / 2; i++) {
        uint8_t kept = bytes[i];
        bytes[i] = bytes[size - 1 - i];
        bytes[size - 1 - i] = kept;
    }
}

static void add_float(luaL_Buffer *out, const struct item *item, lua_Number number, bool big)
{
    uint8_t bytes[sizeof(double)];
    float narrow = (float)number;
    if (item->kind == 'f') {
        memcpy(bytes, &narrow, sizeof(narrow));
    } else {
        memcpy(bytes, &number, sizeof(number));
    }
    swap_if(big, bytes, item->size);
    luaL_addlstring(out, (const char *)bytes, item->size);
}

static void add_item(
    lua_State *lua, luaL_Buffer *out, struct format *format, struct item *item, int *arg)
{
    if (is_integer(item->kind)) {
        uint64_t value = to_bits(luaL_checknumber(lua, *arg));
        add_integer(out, value, item->size, format->big);
        *arg += 1;
    } else if (item->kind == 'x') {
        luaL_addchar(out, '\0');
    } else if (item->kind == 'f' || item->kind == 'd') {
        add_float(out, item, luaL_checknumber(lua, *arg), format->big);
        *arg += 1;
    } else if (item->kind == 'c' || item->kind == 's') {
        size_t len = 0;
        const char *text = luaL_checklstring(lua, *arg, &len);
        *arg += 1;
        item->size = item->size == 0 ? len : item->size;
        luaL_argcheck(lua, len >= item->size, *arg, "string too short");
        luaL_addlstring(out, text, item->size);
        if (item->kind == 's') {
            luaL_addchar(out, '\0');
            item->size++;
        }
    } else {
        control(lua, format, item->kind);
    }
}

static int struct_pack(lua_State *lua)
{
    struct format format = {.at = luaL_checkstring(lua, 1), .align = 1};
    struct item item;
    size_t position = 0;
    int arg = 2;
    luaL_Buffer out;
    lua_pushnil(lua); /* Between the arguments and the buffer. */
    luaL_buffinit(lua, &out);
    while (next_item(lua, &format, &item)) {
        size_t pad = padding(&format, &item, position);
        for (size_t i = 0; i < pad; i++) {
            luaL_addchar(&out, '\0');
        }
        add_item(lua, &out, &format, &item, &arg);
        position += pad + item.size;
        script_engine_charge(lua, 1 + item.size / 16);
    }
    luaL_pushresult(&out);
    return 1;
}

static lua_Number read_integer(const uint8_t *bytes, const struct item *item, bool big)
{
    uint64_t value = 0;
    size_t size = item->size;
    for (size_t i = 0; i < size; i++) {
        value = value << 8 | bytes[big ? i : size - 1 - i];
    }
    if (islower((unsigned char)item->kind) == 0) {
        return (lua_Number)value;
    }
    uint64_t sign = size == 0 || size > sizeof(value) ? 0 : UINT64_C(1) << (size * 8 - 1);
    if ((value & sign) != 0) {
        value |= ~(sign - 1);
    }
    return (lua_Number)(int64_t)value;
}

static lua_Number read_float(const uint8_t *bytes, const struct item *item, bool big)
{
    uint8_t copy[sizeof(double)];
    memcpy(copy, bytes, item->size);
    swap_if(big, copy, item->size);
    if (item->kind == 'f') {
        float narrow = 0;
        memcpy(&narrow, copy, sizeof(narrow));
        return (lua_Number)narrow;
    }
    double wide = 0;
    memcpy(&wide, copy, sizeof(wide));
    return wide;
}

/* c0: the size is the number before, which goes. */
static void take_size(lua_State *lua, struct item *item, int *count)
{
    if (*count == 0 || lua_isnumber(lua, -1) == 0) {
        (void)luaL_error(lua, "format 'c0' needs a previous size");
    }
    lua_Number size = lua_tonumber(lua, -1);
    item->size = size > -1 && size < (lua_Number)SIZE_MAX ? (size_t)size : SIZE_MAX;
    lua_pop(lua, 1);
    *count -= 1;
}

/* Pushes what one item says; data: from the item on. */
static void push_item(
    lua_State *lua, struct format *format, struct item *item, struct slice data, int *count)
{
    if (is_integer(item->kind)) {
        lua_pushnumber(lua, read_integer(data.data, item, format->big));
    } else if (item->kind == 'f' || item->kind == 'd') {
        lua_pushnumber(lua, read_float(data.data, item, format->big));
    } else if (item->kind == 'c') {
        if (item->size == 0) {
            take_size(lua, item, count);
            luaL_argcheck(lua, item->size <= data.len, 2, "data string too short");
        }
        lua_pushlstring(lua, (const char *)data.data, item->size);
    } else if (item->kind == 's') {
        const uint8_t *end = data.len == 0 ? NULL : memchr(data.data, '\0', data.len);
        if (end == NULL) {
            (void)luaL_error(lua, "unfinished string in data");
        } else {
            item->size = (size_t)(end - data.data) + 1;
        }
        lua_pushlstring(lua, (const char *)data.data, item->size - 1);
    } else {
        if (item->kind != 'x') {
            control(lua, format, item->kind);
        }
        return;
    }
    *count += 1;
}

static int struct_unpack(lua_State *lua)
{
    struct format format = {.at = luaL_checkstring(lua, 1), .align = 1};
    struct slice data;
    data.data = (const uint8_t *)luaL_checklstring(lua, 2, &data.len);
    lua_Integer start = luaL_optinteger(lua, 3, 1);
    luaL_argcheck(lua, start > 0, 3, "offset must be 1 or greater");
    size_t position = (size_t)start - 1;
    struct item item;
    int count = 0;
    while (next_item(lua, &format, &item)) {
        position += padding(&format, &item, position);
        luaL_argcheck(lua, item.size <= data.len && position <= data.len - item.size, 2,
                      "data string too short");
        luaL_checkstack(lua, 2, "too many results");
        struct slice rest = slice_of(data.data + position, data.len - position);
        push_item(lua, &format, &item, rest, &count);
        position += item.size;
        script_engine_charge(lua, 1 + item.size / 16);
    }
    lua_pushinteger(lua, (lua_Integer)position + 1);
    return count + 1;
}

static int struct_size(lua_State *lua)
{
    struct format format = {.at = luaL_checkstring(lua, 1), .align = 1};
    struct item item;
    size_t position = 0;
    while (next_item(lua, &format, &item)) {
        position += padding(&format, &item, position);
        if (item.kind == 's') {
            return luaL_argerror(lua, 1, "option 's' has no fixed size");
        }
        if (item.kind == 'c' && item.size == 0) {
            return luaL_argerror(lua, 1, "option 'c0' has no fixed size");
        }
        if (isalnum((unsigned char)item.kind) == 0) {
            control(lua, &format, item.kind);
        }
        position += item.size;
    }
    lua_pushinteger(lua, (lua_Integer)position);
    return 1;
}

void script_struct_open(lua_State *lua)
{
    static const luaL_Reg functions[] = {
        {"pack", struct_pack}, {"unpack", struct_unpack}, {"size", struct_size}, {NULL, NULL}};
    luaL_register(lua, NULL, functions);
}
