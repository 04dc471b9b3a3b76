#include <ctype.h>

#include "common/base/assert.h"
#include "server/script/script_private.h"

/* string.find, match, gmatch and gsub with Lua 5.1's patterns and error texts. Lua's own matcher
 * cannot be stopped and nests without bound: a pattern of a hundred bytes can keep it busy for
 * years, or run it out of stack. This one charges for its steps and nests at most DEPTH_MAX deep.
 */

enum {
    CAPTURES_MAX = 32,
    DEPTH_MAX = 200,
    STEPS_CHARGED = 1024, /* At a time; */
    STEPS_SHARE = 4,      /* so many cost as much as an instruction. */
    CAPTURE_OPEN = -1,
    CAPTURE_POSITION = -2,
};

struct capture {
    const char *at;
    ptrdiff_t len;
};

struct match {
    lua_State *lua;
    const char *text;
    const char *text_end;
    const char *pattern_end;
    int depth;
    int level; /* Captures. */
    unsigned steps;
    struct capture captures[CAPTURES_MAX];
};

static const char *match_here(struct match *match, const char *at, const char *pattern);

static void step(struct match *match)
{
    match->steps++;
    if (match->steps == STEPS_CHARGED) {
        match->steps = 0;
        script_engine_charge(match->lua, STEPS_CHARGED / STEPS_SHARE);
    }
}

static char peek(const struct match *match, const char *pattern)
{
    return pattern < match->pattern_end ? *pattern : '\0';
}

/* Behind the class that begins at pattern. */
static const char *class_end(struct match *match, const char *pattern)
{
    char first = *pattern;
    pattern++;
    if (first == '%') {
        if (pattern >= match->pattern_end) {
            (void)luaL_error(match->lua, "malformed pattern (ends with '%%')");
        }
        return pattern + 1;
    }
    if (first != '[') {
        return pattern;
    }
    pattern += peek(match, pattern) == '^';
    do { /* A ] that comes first is one of the set. */
        if (pattern >= match->pattern_end) {
            (void)luaL_error(match->lua, "malformed pattern (missing ']')");
        }
        char next = *pattern;
        pattern++;
        pattern += next == '%' && pattern < match->pattern_end;
    } while (peek(match, pattern) != ']' || pattern >= match->pattern_end);
    return pattern + 1;
}

static bool in_class(int byte, char class)
{
    bool found = false;
    switch (tolower((unsigned char)class)) {
    case 'a': found = isalpha(byte) != 0; break;
    case 'c': found = iscntrl(byte) != 0; break;
    case 'd': found = isdigit(byte) != 0; break;
    case 'l': found = islower(byte) != 0; break;
    case 'p': found = ispunct(byte) != 0; break;
    case 's': found = isspace(byte) != 0; break;
    case 'u': found = isupper(byte) != 0; break;
    case 'w': found = isalnum(byte) != 0; break;
    case 'x': found = isxdigit(byte) != 0; break;
    case 'z': found = byte == 0; break;
    default: return (unsigned char)class == byte;
    }
    return isupper((unsigned char)class) != 0 ? !found : found;
}

/* set: at its '['; last: its ']'. */
static bool in_set(int byte, const char *set, const char *last)
{
    bool wanted = true;
    if (set[1] == '^') {
        wanted = false;
        set++;
    }
    for (set++; set < last; set++) {
        if (*set == '%') {
            set++;
            if (in_class(byte, *set)) {
                return wanted;
            }
        } else if (set[1] == '-' && set + 2 < last) {
            if ((unsigned char)set[0] <= byte && byte <= (unsigned char)set[2]) {
                return wanted;
            }
            set += 2;
        } else if ((unsigned char)*set == byte) {
            return wanted;
        }
    }
    return !wanted;
}

/* pattern: one item; end: behind it. */
static bool matches_one(struct match *match, const char *at, const char *pattern, const char *end)
{
    step(match);
    if (at >= match->text_end) {
        return false;
    }
    int byte = (unsigned char)*at;
    switch (*pattern) {
    case '.': return true;
    case '%': return in_class(byte, pattern[1]);
    case '[': return in_set(byte, pattern, end - 1);
    default: return (unsigned char)*pattern == byte;
    }
}

/* %bxy */
static const char *match_balance(struct match *match, const char *at, const char *pattern)
{
    if (match->pattern_end - pattern < 2) {
        (void)luaL_error(match->lua, "unbalanced pattern");
    }
    if (at >= match->text_end || *at != pattern[0]) {
        return NULL;
    }
    int open = 1;
    for (at++; at < match->text_end; at++) {
        step(match);
        if (*at == pattern[1]) {
            open--;
            if (open == 0) {
                return at + 1;
            }
        } else if (*at == pattern[0]) {
            open++;
        }
    }
    return NULL;
}

static const char *match_most(struct match *match,
                              const char *at,
                              const char *pattern,
                              const char *end)
{
    ptrdiff_t count = 0;
    while (matches_one(match, at + count, pattern, end)) {
        count++;
    }
    for (; count >= 0; count--) {
        const char *found = match_here(match, at + count, end + 1);
        if (found != NULL) {
            return found;
        }
    }
    return NULL;
}

static const char *match_least(struct match *match,
                               const char *at,
                               const char *pattern,
                               const char *end)
{
    while (true) {
        const char *found = match_here(match, at, end + 1);
        if (found != NULL) {
            return found;
        }
        if (!matches_one(match, at, pattern, end)) {
            return NULL;
        }
        at++;
    }
}

static const char *open_capture(struct match *match,
                                const char *at,
                                const char *pattern,
                                ptrdiff_t kind)
{
    if (match->level >= CAPTURES_MAX) {
        (void)luaL_error(match->lua, "too many captures");
    }
    match->captures[match->level] = (struct capture){.at = at, .len = kind};
    match->level++;
    const char *found = match_here(match, at, pattern);
    match->level -= found == NULL;
    return found;
}

static const char *close_capture(struct match *match, const char *at, const char *pattern)
{
    int level = match->level - 1;
    while (level >= 0 && match->captures[level].len != CAPTURE_OPEN) {
        level--;
    }
    if (level < 0) {
        (void)luaL_error(match->lua, "invalid pattern capture");
    }
    match->captures[level].len = at - match->captures[level].at;
    const char *found = match_here(match, at, pattern);
    if (found == NULL) {
        match->captures[level].len = CAPTURE_OPEN;
    }
    return found;
}

/* %1 ... %9 */
static const char *match_again(struct match *match, const char *at, char digit)
{
    int level = digit - '1';
    if (level < 0 || level >= match->level || match->captures[level].len == CAPTURE_OPEN) {
        (void)luaL_error(match->lua, "invalid capture index");
    }
    const struct capture *capture = &match->captures[level];
    if (capture->len == CAPTURE_POSITION) {
        return NULL; /* A position is no text. */
    }
    size_t len = (size_t)capture->len;
    bool same = (size_t)(match->text_end - at) >= len && memcmp(capture->at, at, len) == 0;
    return same ? at + len : NULL;
}

/* %f[set]: pattern is at the set. Behind it, or NULL. */
static const char *match_frontier(struct match *match, const char *at, const char *pattern)
{
    if (peek(match, pattern) != '[') {
        (void)luaL_error(match->lua, "missing '[' after '%%f' in pattern");
    }
    const char *end = class_end(match, pattern);
    int before = at == match->text ? 0 : (unsigned char)at[-1];
    int here = at == match->text_end ? 0 : (unsigned char)*at;
    bool border = !in_set(before, pattern, end - 1) && in_set(here, pattern, end - 1);
    return border ? end : NULL;
}

/* One item with its suffix. *pattern and *at move on if the rest is to be matched in the same way;
 * false: *found is the answer. */
static bool match_item(struct match *match,
                       const char **at,
                       const char **pattern,
                       const char **found)
{
    const char *end = class_end(match, *pattern);
    char suffix = peek(match, end);
    *found = NULL;
    if (suffix == '*') {
        *found = match_most(match, *at, *pattern, end);
        return false;
    }
    if (suffix == '-') {
        *found = match_least(match, *at, *pattern, end);
        return false;
    }
    bool one = matches_one(match, *at, *pattern, end);
    if (suffix == '+') {
        *found = one ? match_most(match, *at + 1, *pattern, end) : NULL;
        return false;
    }
    if (suffix == '?') {
        *found = one ? match_here(match, *at + 1, end + 1) : NULL;
        *pattern = end + 1;
        return *found == NULL;
    }
    *at += one;
    *pattern = end;
    return one;
}

/* %b, %f, %1: *handled. Then as match_item(). */
static bool match_escape(struct match *match, const char **at, const char **pattern, bool *handled)
{
    char next = match->pattern_end - *pattern > 1 ? (*pattern)[1] : '\0';
    const char *moved = NULL;
    *handled = true;
    if (next == 'b') {
        moved = match_balance(match, *at, *pattern + 2);
        *at = moved;
        *pattern += 4;
    } else if (next == 'f') {
        moved = match_frontier(match, *at, *pattern + 2);
        *pattern = moved;
    } else if (isdigit((unsigned char)next) != 0) {
        moved = match_again(match, *at, next);
        *at = moved;
        *pattern += 2;
    } else {
        *handled = false;
    }
    return moved != NULL;
}

static const char *match_rest(struct match *match, const char *at, const char *pattern)
{
    while (pattern < match->pattern_end) {
        const char *found = NULL;
        bool handled = false;
        bool more = false;
        if (*pattern == '(') {
            bool position = peek(match, pattern + 1) == ')';
            return open_capture(match, at, pattern + (position ? 2 : 1),
                                position ? CAPTURE_POSITION : CAPTURE_OPEN);
        }
        if (*pattern == ')') {
            return close_capture(match, at, pattern + 1);
        }
        if (*pattern == '$' && pattern + 1 == match->pattern_end) {
            return at == match->text_end ? at : NULL;
        }
        if (*pattern == '%') {
            more = match_escape(match, &at, &pattern, &handled);
        }
        if (!handled) {
            more = match_item(match, &at, &pattern, &found);
        }
        if (!more) {
            return found;
        }
    }
    return at;
}

/* Where the match of pattern that begins at `at` ends, or NULL. */
static const char *match_here(struct match *match, const char *at, const char *pattern)
{
    if (match->depth == DEPTH_MAX) {
        (void)luaL_error(match->lua, "pattern too complex");
    }
    match->depth++;
    const char *found = match_rest(match, at, pattern);
    match->depth--;
    return found;
}

static const char *match_begin(struct match *match, const char *at, const char *pattern)
{
    match->level = 0;
    match->depth = 0;
    step(match);
    return match_here(match, at, pattern);
}

static void push_capture(struct match *match, int index, const char *from, const char *to)
{
    lua_State *lua = match->lua;
    if (index >= match->level) {
        if (index != 0) {
            (void)luaL_error(lua, "invalid capture index");
        }
        lua_pushlstring(lua, from, (size_t)(to - from));
        return;
    }
    const struct capture *capture = &match->captures[index];
    if (capture->len == CAPTURE_OPEN) {
        (void)luaL_error(lua, "unfinished capture");
    }
    if (capture->len == CAPTURE_POSITION) {
        lua_pushinteger(lua, capture->at - match->text + 1);
    } else {
        lua_pushlstring(lua, capture->at, (size_t)capture->len);
    }
}

/* Returns how many. whole: the match itself, if there are no captures. */
static int push_captures(struct match *match, const char *from, const char *to, bool whole)
{
    int count = match->level == 0 && whole ? 1 : match->level;
    luaL_checkstack(match->lua, count, "too many captures");
    for (int i = 0; i < count; i++) {
        push_capture(match, i, from, to);
    }
    return count;
}

static struct slice check_text(lua_State *lua, int index)
{
    struct slice text;
    text.data = (const uint8_t *)luaL_checklstring(lua, index, &text.len);
    return text;
}

/* As Lua 5.1: a pattern ends at its first zero byte. */
static void match_init(struct match *match, lua_State *lua, struct slice text, const char *pattern)
{
    match->lua = lua;
    match->text = (const char *)text.data;
    match->text_end = match->text + text.len;
    match->pattern_end = pattern + strlen(pattern);
    match->depth = 0;
    match->level = 0;
    match->steps = 0;
}

static size_t start_of(lua_State *lua, size_t len)
{
    lua_Integer start = luaL_optinteger(lua, 3, 1);
    if (start < 0) {
        start += (lua_Integer)len + 1;
    }
    start = start < 1 ? 0 : start - 1;
    return (size_t)start > len ? len : (size_t)start;
}

static int find_plain(lua_State *lua, struct slice text, struct slice wanted, size_t start)
{
    script_engine_charge(lua, (text.len - start) / STEPS_SHARE);
    const uint8_t *from = text.data + start;
    const uint8_t *found =
        wanted.len == 0 ? from : memmem(from, text.len - start, wanted.data, wanted.len);
    if (found == NULL) {
        lua_pushnil(lua);
        return 1;
    }
    size_t at = (size_t)(found - text.data);
    lua_pushinteger(lua, (lua_Integer)at + 1);
    lua_pushinteger(lua, (lua_Integer)(at + wanted.len));
    return 2;
}

static int find_or_match(lua_State *lua, bool find)
{
    struct slice text = check_text(lua, 1);
    struct slice wanted = check_text(lua, 2);
    const char *pattern = (const char *)wanted.data;
    size_t start = start_of(lua, text.len);
    if (find && (lua_toboolean(lua, 4) != 0 || strpbrk(pattern, "^$*+?.([%-") == NULL)) {
        return find_plain(lua, text, wanted, start);
    }
    struct match match;
    match_init(&match, lua, text, pattern);
    bool anchor = *pattern == '^';
    pattern += anchor;
    for (const char *at = match.text + start; at <= match.text_end; at++) {
        const char *end = match_begin(&match, at, pattern);
        if (end != NULL && !find) {
            return push_captures(&match, at, end, true);
        }
        if (end != NULL) {
            lua_pushinteger(lua, at - match.text + 1);
            lua_pushinteger(lua, end - match.text);
            return push_captures(&match, NULL, NULL, false) + 2;
        }
        if (anchor) {
            break;
        }
    }
    lua_pushnil(lua);
    return 1;
}

static int string_find(lua_State *lua)
{
    return find_or_match(lua, true);
}

static int string_match(lua_State *lua)
{
    return find_or_match(lua, false);
}

/* Upvalues: text, pattern, where to go on. */
static int next_match(lua_State *lua)
{
    struct slice text;
    text.data = (const uint8_t *)lua_tolstring(lua, lua_upvalueindex(1), &text.len);
    const char *pattern = lua_tostring(lua, lua_upvalueindex(2));
    struct match match;
    match_init(&match, lua, text, pattern);
    const char *at = match.text + lua_tointeger(lua, lua_upvalueindex(3));
    for (; at <= match.text_end; at++) {
        const char *end = match_begin(&match, at, pattern);
        if (end != NULL) {
            lua_pushinteger(lua, end - match.text + (end == at));
            lua_replace(lua, lua_upvalueindex(3));
            return push_captures(&match, at, end, true);
        }
    }
    return 0;
}

static int string_gmatch(lua_State *lua)
{
    (void)luaL_checkstring(lua, 1);
    (void)luaL_checkstring(lua, 2);
    lua_settop(lua, 2);
    lua_pushinteger(lua, 0);
    lua_pushcclosure(lua, next_match, 3);
    return 1;
}

static void add_template(struct match *match, luaL_Buffer *out, const char *from, const char *to)
{
    size_t len = 0;
    const char *text = lua_tolstring(match->lua, 3, &len);
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '%') {
            luaL_addchar(out, text[i]);
            continue;
        }
        i++;
        if (isdigit((unsigned char)text[i]) == 0) {
            luaL_addchar(out, text[i]);
        } else if (text[i] == '0') {
            luaL_addlstring(out, from, (size_t)(to - from));
        } else {
            push_capture(match, text[i] - '1', from, to);
            luaL_addvalue(out);
        }
    }
    script_engine_charge(match->lua, len / STEPS_SHARE);
}

static void add_value(struct match *match, luaL_Buffer *out, const char *from, const char *to)
{
    lua_State *lua = match->lua;
    int type = lua_type(lua, 3);
    if (type == LUA_TNUMBER || type == LUA_TSTRING) {
        add_template(match, out, from, to);
        return;
    }
    if (type == LUA_TFUNCTION) {
        lua_pushvalue(lua, 3);
        int count = push_captures(match, from, to, true);
        lua_call(lua, count, 1);
    } else {
        push_capture(match, 0, from, to);
        lua_gettable(lua, 3);
    }
    if (lua_toboolean(lua, -1) == 0) {
        lua_pop(lua, 1);
        lua_pushlstring(lua, from, (size_t)(to - from));
    } else if (lua_isstring(lua, -1) == 0) {
        (void)luaL_error(lua, "invalid replacement value (a %s)", luaL_typename(lua, -1));
    }
    luaL_addvalue(out);
}

static int string_gsub(lua_State *lua)
{
    struct slice text = check_text(lua, 1);
    const char *pattern = luaL_checkstring(lua, 2);
    int type = lua_type(lua, 3);
    int count_max = luaL_optint(lua, 4, (int)text.len + 1);
    luaL_argcheck(
        lua,
        type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION || type == LUA_TTABLE,
        3, "string/function/table expected");
    struct match match;
    match_init(&match, lua, text, pattern);
    bool anchor = *pattern == '^';
    pattern += anchor;
    luaL_Buffer out;
    luaL_buffinit(lua, &out);
    const char *at = match.text;
    int count = 0;
    while (count < count_max) {
        const char *end = match_begin(&match, at, pattern);
        if (end != NULL) {
            count++;
            add_value(&match, &out, at, end);
        }
        if (end != NULL && end > at) {
            at = end;
        } else if (at < match.text_end) {
            luaL_addchar(&out, *at);
            at++;
        } else {
            break;
        }
        if (anchor) {
            break;
        }
    }
    luaL_addlstring(&out, at, (size_t)(match.text_end - at));
    luaL_pushresult(&out);
    lua_pushinteger(lua, count);
    return 2;
}

void script_pattern_open(lua_State *lua)
{
    static const luaL_Reg functions[] = {{"find", string_find},     {"match", string_match},
                                         {"gmatch", string_gmatch}, {"gfind", string_gmatch},
                                         {"gsub", string_gsub},     {NULL, NULL}};
    luaL_register(lua, NULL, functions);
}
